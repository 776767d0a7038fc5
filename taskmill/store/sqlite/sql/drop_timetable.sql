-- A schedule is not wanted any more.
DELETE FROM taskmill_schedules WHERE domain = ? AND name = ?
