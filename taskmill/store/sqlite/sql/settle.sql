-- A run has ended: only the run on record can be settled like this, only if it was not told to stop,
-- and only if that concerns nobody else.
UPDATE taskmill_tasks
SET status = :status, attempt = :attempt, due_at_ms = :due_at_ms, finished_at_ms = :finished_at_ms,
    result = :result, reason = :reason,
    preemptions = preemptions + :preempted, io = coalesce(:io, io)
WHERE id = :id AND run = :run AND status = 'running' AND stop_cause IS NULL AND is_linked = 0
