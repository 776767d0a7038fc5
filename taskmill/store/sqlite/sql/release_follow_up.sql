-- The task ended: what waited behind it takes its place and is ready.
UPDATE taskmill_tasks
SET is_follow_up = 0, status = 'pending', ready_at_ms = max(:now_ms, ready_at_ms),
    due_at_ms = CASE WHEN run_at_ms > :now_ms THEN run_at_ms END
WHERE is_follow_up = 1 AND finished_at_ms IS NULL AND status = 'blocked'
    AND identity = (SELECT identity FROM taskmill_tasks WHERE id = :id)
RETURNING
    id, type, domain, payload, key, label, tags, group_name, status, priority, attempt, run, max_retries,
    options, created_at_ms, ready_at_ms, due_at_ms, run_at_ms, started_at_ms, finished_at_ms, parent,
    result, reason, preemptions
