-- Every task that has ended in one of these ways.
SELECT id FROM taskmill_tasks INDEXED BY taskmill_finished
WHERE status IN (SELECT value FROM json_each(:ended)) AND finished_at_ms IS NOT NULL
