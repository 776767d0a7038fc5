-- When the next task expires.
SELECT min(expires_at_ms)
FROM taskmill_tasks
WHERE expires_at_ms IS NOT NULL AND status IN ('pending', 'blocked') AND stage & 11 = 0
