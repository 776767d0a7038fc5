-- What waits for something else than its turn: for a time, for another task, for its children.
SELECT domain, group_name, status, count(*)
FROM taskmill_tasks INDEXED BY taskmill_due
WHERE due_at_ms IS NOT NULL
GROUP BY domain, group_name, status
UNION ALL
SELECT domain, group_name, status, count(*)
FROM taskmill_tasks INDEXED BY taskmill_blocked
WHERE status = 'blocked'
GROUP BY domain, group_name
UNION ALL
SELECT domain, group_name, status, count(*)
FROM taskmill_tasks INDEXED BY taskmill_with_children
WHERE status = 'waiting'
GROUP BY domain, group_name
