-- The active task with the identity of a task that has ended.
SELECT
    {columns}
FROM taskmill_tasks
WHERE is_follow_up = 0 AND finished_at_ms IS NULL
    AND identity = (SELECT identity FROM taskmill_tasks WHERE id = ?)
