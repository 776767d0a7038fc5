-- Errors of no task.
SELECT count(*) FROM taskmill_errors WHERE task NOT IN (SELECT id FROM taskmill_tasks)
