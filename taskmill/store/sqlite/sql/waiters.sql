-- The active tasks whose unmet ties are on some tasks.
SELECT
    waits_for, tie,
    {columns}
FROM taskmill_edges JOIN taskmill_tasks ON id = task
WHERE waits_for IN (SELECT value FROM json_each(?)) AND is_met = 0 AND finished_at_ms IS NULL
ORDER BY id, waits_for
