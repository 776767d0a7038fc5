-- A row that is no task any more.
UPDATE taskmill_tasks
SET status = 'cancelled', finished_at_ms = :now_ms, due_at_ms = NULL, reason = :reason
WHERE id = :id AND status = 'pending'
