-- Tasks on record as running.
SELECT count(*) FROM taskmill_tasks WHERE status = 'running'
