-- The active children of some tasks.
SELECT
    {columns}
FROM taskmill_tasks INDEXED BY taskmill_children
WHERE parent IN (SELECT value FROM json_each(?)) AND finished_at_ms IS NULL
ORDER BY id
