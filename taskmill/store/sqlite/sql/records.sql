-- Tasks by their ids.
SELECT
    id, type, domain, payload, key, label, tags, group_name, status, priority, attempt, run, max_retries,
    options, created_at_ms, ready_at_ms, due_at_ms, run_at_ms, started_at_ms, finished_at_ms, parent,
    result, reason, preemptions
FROM taskmill_tasks NOT INDEXED
WHERE id IN (SELECT value FROM json_each(:ids))
