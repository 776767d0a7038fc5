-- Every pending task, due or not.
SELECT id FROM taskmill_tasks INDEXED BY taskmill_ready
WHERE status = 'pending' AND due_at_ms IS NULL
UNION ALL
SELECT id FROM taskmill_tasks INDEXED BY taskmill_due WHERE due_at_ms IS NOT NULL
