-- The types of the tasks that wait for their next attempt, one row a task.
SELECT type FROM taskmill_tasks WHERE due_at_ms IS NOT NULL AND attempt > 0
