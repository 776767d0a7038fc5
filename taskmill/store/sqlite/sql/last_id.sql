-- The newest task.
SELECT coalesce(max(id), 0) FROM taskmill_tasks
