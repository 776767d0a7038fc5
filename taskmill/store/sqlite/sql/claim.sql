-- Put the next run of each of these tasks on record that is still pending.
UPDATE taskmill_tasks
SET status = 'running', run = run + 1, attempt = attempt + 1, started_at_ms = :now_ms
WHERE id IN (SELECT value FROM json_each(:ids)) AND status = 'pending' AND due_at_ms IS NULL
RETURNING
    id, type, domain, payload, key, label, tags, group_name, status, priority, attempt, run, max_retries,
    options, created_at_ms, ready_at_ms, due_at_ms, run_at_ms, started_at_ms, finished_at_ms, parent,
    result, reason, preemptions
