-- When the next occurrence is due.
SELECT min(next_ms) FROM taskmill_schedules WHERE status = 'active' AND next_ms IS NOT NULL
