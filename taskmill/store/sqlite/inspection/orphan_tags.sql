-- Tags of no task.
SELECT count(*) FROM taskmill_tags WHERE task NOT IN (SELECT id FROM taskmill_tasks)
