-- What was announced, the oldest first.
SELECT id, task, body FROM taskmill_inbox ORDER BY id LIMIT ?
