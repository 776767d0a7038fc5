-- A run that was to stop when its process ended is over.
UPDATE taskmill_tasks
SET status = 'cancelled', finished_at_ms = :now_ms, reason = 'cancelled while running'
WHERE id = :id AND status = 'running'
