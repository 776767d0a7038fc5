-- What waits for the dispatcher, the oldest first; a body that is no text is one row's own failure.
SELECT id, task, CAST(body AS BLOB), asked_ms
FROM taskmill_inbox INDEXED BY taskmill_unanswered
WHERE answer IS NULL
ORDER BY id
LIMIT ?
