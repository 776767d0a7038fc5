-- The active task that stands for an identity.
SELECT
    {columns}
FROM taskmill_tasks
WHERE identity = ? AND is_follow_up = 0 AND is_replaced = 0 AND finished_at_ms IS NULL
