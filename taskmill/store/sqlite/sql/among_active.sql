-- Every active task.
SELECT id FROM taskmill_tasks INDEXED BY taskmill_standing
WHERE is_follow_up = 0 AND finished_at_ms IS NULL
UNION ALL
SELECT id FROM taskmill_tasks INDEXED BY taskmill_follow_up
WHERE is_follow_up = 1 AND finished_at_ms IS NULL
