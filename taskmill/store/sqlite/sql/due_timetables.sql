-- The active schedules with an occurrence due.
SELECT
    domain, name, template, rule, status, anchor_ms, next_ms, runs, last_task, last_ms, reason,
    is_declared, created_at_ms
FROM taskmill_schedules
WHERE status = 'active' AND next_ms IS NOT NULL AND next_ms <= ?
ORDER BY next_ms
LIMIT ?
