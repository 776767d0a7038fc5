-- How long the tasks of a type took that completed last, and what they moved.
SELECT finished_at_ms - started_at_ms, io
FROM taskmill_tasks INDEXED BY taskmill_finished
WHERE status = 'completed' AND finished_at_ms IS NOT NULL AND type = :type
ORDER BY finished_at_ms DESC, id DESC
LIMIT :limit
