-- Every task that waits for its children.
SELECT id FROM taskmill_tasks INDEXED BY taskmill_with_children WHERE status = 'waiting'
