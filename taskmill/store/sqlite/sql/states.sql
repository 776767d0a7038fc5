-- Where some tasks are.
SELECT id, status FROM taskmill_tasks WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id
