-- The time to live of a task begins again: now, or with its next attempt.
UPDATE taskmill_tasks
SET expires_at_ms = CASE WHEN ttl_from_start = 0 THEN :now_ms + ttl_ms END
WHERE id = :id
RETURNING expires_at_ms
