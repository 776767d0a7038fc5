-- The runs that were to stop when their process ended.
SELECT
    {columns}
FROM taskmill_tasks
WHERE status = 'running' AND stop_cause IS NOT NULL
ORDER BY id
