-- How many ready tasks each level of each lane holds.
SELECT type, group_name, priority, count(*), stage
FROM taskmill_tasks
WHERE status = 'pending' AND due_at_ms IS NULL
GROUP BY type, group_name, stage, priority
