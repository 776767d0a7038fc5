-- When the next task is due.
SELECT min(due_at_ms) FROM taskmill_tasks WHERE due_at_ms IS NOT NULL
