-- The tasks that wait in the follow-up place behind some tasks.
SELECT
    {columns}
FROM taskmill_tasks
WHERE is_follow_up = 1 AND finished_at_ms IS NULL AND identity IN (
    SELECT stood.identity FROM taskmill_tasks AS stood
    WHERE stood.id IN (SELECT value FROM json_each(?))
)
ORDER BY id
