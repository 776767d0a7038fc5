-- Answers that nobody has taken for long.
DELETE FROM taskmill_inbox INDEXED BY taskmill_answered WHERE answer IS NOT NULL AND asked_ms < ?
