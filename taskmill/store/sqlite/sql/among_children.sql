-- Every child of a task.
SELECT id FROM taskmill_tasks INDEXED BY taskmill_children WHERE parent = :parent
