-- Ties of no task.
SELECT count(*) FROM taskmill_edges WHERE task NOT IN (SELECT id FROM taskmill_tasks)
