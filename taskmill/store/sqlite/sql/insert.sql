-- A new task; nothing happens where its identity is taken, by an active task or for a while yet.
INSERT INTO taskmill_tasks (
    type, domain, payload, identity, is_follow_up, key, label, tags, group_name, status, priority,
    max_retries, options, created_at_ms, ready_at_ms, due_at_ms, run_at_ms, parent, expires_at_ms,
    ttl_ms, ttl_from_start, fail_fast, on_dependency_failure, max_interruptions, unique_for_ms, schedule,
    scheduled_for_ms, is_linked
)
SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21,
    ?22, ?23, ?24, ?25, ?26, ?27, ?28
WHERE ?5 = 1 OR NOT EXISTS (
    SELECT 1 FROM taskmill_tasks
    WHERE identity = ?4 AND unique_until_ms > ?14 AND unique_until_ms IS NOT NULL
)
ON CONFLICT DO NOTHING
