-- No completed task stands for this identity any longer.
UPDATE taskmill_tasks
SET unique_until_ms = NULL
WHERE identity = ? AND unique_until_ms IS NOT NULL
