-- What has not started and whose time to live is over.
SELECT
    {columns}
FROM taskmill_tasks
WHERE expires_at_ms IS NOT NULL AND status IN ('pending', 'blocked') AND stage & 11 = 0
    AND expires_at_ms <= ?
ORDER BY expires_at_ms, id
LIMIT ?
