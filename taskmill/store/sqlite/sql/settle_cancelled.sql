-- A run whose stop was on record ends as cancelled, whatever its handler made of it.
UPDATE taskmill_tasks
SET status = 'cancelled', finished_at_ms = :now_ms, reason = 'cancelled while running'
WHERE id = :id AND run = :run AND status = 'running' AND stop_cause = 'cancelled'
