-- Whether a completed task still stands for an identity.
SELECT 1 FROM taskmill_tasks
WHERE identity = ? AND unique_until_ms > ? AND unique_until_ms IS NOT NULL
