-- Every task that waits for another one.
SELECT id FROM taskmill_tasks INDEXED BY taskmill_blocked WHERE status = 'blocked'
