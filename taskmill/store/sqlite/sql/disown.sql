-- What a task has spawned so far is looked at no longer.
UPDATE taskmill_tasks
SET earlier_children = (SELECT seq FROM sqlite_sequence WHERE name = 'taskmill_tasks')
WHERE id = ?
