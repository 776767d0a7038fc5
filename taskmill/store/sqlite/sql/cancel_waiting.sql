-- A task that has not started, or waits for its next attempt, ends.
UPDATE taskmill_tasks
SET status = 'cancelled', finished_at_ms = :now_ms, due_at_ms = NULL, reason = :reason
WHERE id = :id AND status IN ('pending', 'blocked')
