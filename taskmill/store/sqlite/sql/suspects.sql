-- What ran alone when its process ended.
SELECT
    {columns}
FROM taskmill_tasks
WHERE status = 'running' AND stop_cause IS NULL AND stage >= 4
ORDER BY id
