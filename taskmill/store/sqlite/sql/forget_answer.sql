-- Whoever asked has the answer.
DELETE FROM taskmill_inbox WHERE id = ? AND answer IS NOT NULL
