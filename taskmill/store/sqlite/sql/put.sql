-- What can change of a task.
UPDATE taskmill_tasks
SET status = :status, priority = :priority, attempt = :attempt, ready_at_ms = :ready_at_ms,
    due_at_ms = :due_at_ms, run_at_ms = :run_at_ms, finished_at_ms = :finished_at_ms,
    result = :result, reason = :reason, stop_cause = :stop_cause, preemptions = :preemptions,
    expires_at_ms = :expires_at_ms, stage = :stage, memo = :memo, is_follow_up = :is_follow_up,
    is_replaced = CASE WHEN :finished_at_ms IS NULL THEN 0 ELSE is_replaced END,
    interruptions = :interruptions, io = :io, has_undo = :has_undo,
    unique_until_ms = CASE WHEN :status = 'completed' THEN :finished_at_ms + unique_for_ms END
WHERE id = :id
