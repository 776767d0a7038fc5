-- The task that waits behind the one standing for an identity.
SELECT
    {columns}
FROM taskmill_tasks
WHERE identity = ? AND is_follow_up = 1 AND finished_at_ms IS NULL
