-- The types of all tasks.
SELECT DISTINCT type FROM taskmill_tasks ORDER BY type
