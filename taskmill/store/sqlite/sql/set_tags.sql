-- Other tags in the row of a task.
UPDATE taskmill_tasks SET tags = :tags WHERE id = :id
