-- The schedules of a domain, or of all.
SELECT
    domain, name, template, rule, status, anchor_ms, next_ms, runs, last_task, last_ms, reason,
    is_declared, created_at_ms
FROM taskmill_schedules
WHERE ?1 IS NULL OR domain = ?1
ORDER BY domain, name
