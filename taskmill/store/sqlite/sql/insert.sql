-- A new task; nothing happens where an active task has its identity.
INSERT INTO taskmill_tasks (
    type, domain, payload, identity, is_follow_up, key, label, tags, group_name, status, priority,
    max_retries, options, created_at_ms, ready_at_ms, due_at_ms, run_at_ms, parent, expires_at_ms,
    ttl_ms, ttl_from_start, fail_fast, on_dependency_failure, max_interruptions, unique_for_ms,
    schedule, scheduled_for_ms, is_linked, stage
)
VALUES (
    ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?
)
ON CONFLICT DO NOTHING
