-- A better priority for a task that has not started.
UPDATE taskmill_tasks
SET priority = :priority
WHERE id = :id AND status IN ('pending', 'blocked')
