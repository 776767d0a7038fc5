-- What waits for the dispatcher, the oldest first.
SELECT id, task, body, asked_ms
FROM taskmill_inbox INDEXED BY taskmill_unanswered
WHERE answer IS NULL
ORDER BY id
LIMIT ?
