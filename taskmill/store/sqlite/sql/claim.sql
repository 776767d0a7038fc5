-- Put the next run of a pending task on record.
UPDATE taskmill_tasks
SET status = 'running', run = run + 1, attempt = attempt + 1, started_at_ms = :now_ms
WHERE id = :id AND status = 'pending' AND due_at_ms IS NULL
RETURNING
    id, type, domain, payload, key, label, tags, group_name, status, priority, attempt, run, max_retries,
    options, created_at_ms, ready_at_ms, due_at_ms, run_at_ms, started_at_ms, finished_at_ms, parent,
    result, reason
