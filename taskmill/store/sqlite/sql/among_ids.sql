-- Those of these ids that tasks have.
SELECT id FROM taskmill_tasks NOT INDEXED WHERE id IN (SELECT value FROM json_each(:ids))
