-- One task.
SELECT
    {columns}
FROM taskmill_tasks
WHERE id = ?
