-- How the tasks of a type have ended.
SELECT status, count(*)
FROM taskmill_tasks INDEXED BY taskmill_finished
WHERE finished_at_ms IS NOT NULL AND type = :type
GROUP BY status
