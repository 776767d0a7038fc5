-- A new task; nothing happens where its identity is taken.
INSERT INTO taskmill_tasks (
    type, domain, payload, identity, is_follow_up, key, label, tags, group_name, status, priority,
    max_retries, options, created_at_ms, ready_at_ms, due_at_ms, run_at_ms, parent
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING
