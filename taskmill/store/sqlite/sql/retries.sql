-- How many tasks wait for their next attempt.
SELECT count(*) FROM taskmill_tasks WHERE due_at_ms IS NOT NULL AND attempt > 0
