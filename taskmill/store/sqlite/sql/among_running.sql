-- Every task that is running.
SELECT id FROM taskmill_tasks INDEXED BY taskmill_running WHERE status = 'running'
