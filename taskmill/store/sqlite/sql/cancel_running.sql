-- The intent to stop a running task.
UPDATE taskmill_tasks
SET stop_cause = 'cancelled'
WHERE id = :id AND status = 'running'
