-- The schedule of a name.
SELECT
    domain, name, template, rule, status, anchor_ms, next_ms, runs, last_task, last_ms, reason,
    is_declared, created_at_ms
FROM taskmill_schedules
WHERE domain = ? AND name = ?
