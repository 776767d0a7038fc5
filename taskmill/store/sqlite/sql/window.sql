-- The completed task that still stands for an identity.
SELECT
    {columns}
FROM taskmill_tasks
WHERE identity = ? AND unique_until_ms > ? AND unique_until_ms IS NOT NULL
ORDER BY unique_until_ms DESC, id DESC
LIMIT 1
