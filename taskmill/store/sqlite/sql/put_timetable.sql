-- A schedule, new or in place of the one of its name.
INSERT OR REPLACE INTO taskmill_schedules (
    domain, name, template, rule, status, anchor_ms, next_ms, runs, last_task, last_ms, reason,
    is_declared, created_at_ms
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
