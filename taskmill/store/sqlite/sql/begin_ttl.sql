-- The time to live of these tasks begins with their first attempt.
UPDATE taskmill_tasks
SET expires_at_ms = :now_ms + ttl_ms
WHERE id IN (SELECT value FROM json_each(:ids)) AND ttl_ms IS NOT NULL AND run = 1
RETURNING id, expires_at_ms
