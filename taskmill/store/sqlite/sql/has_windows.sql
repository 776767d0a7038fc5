-- Whether any completed task may still stand for its identity.
SELECT 1 FROM taskmill_tasks INDEXED BY taskmill_windows WHERE unique_until_ms IS NOT NULL LIMIT 1
