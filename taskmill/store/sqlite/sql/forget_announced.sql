-- Submits that were announced have been settled.
DELETE FROM taskmill_inbox INDEXED BY taskmill_unanswered WHERE id <= ? AND answer IS NULL
