-- Those of some tasks that have active children, or joined a task that has not ended.
SELECT value FROM json_each(?)
WHERE EXISTS (SELECT 1 FROM taskmill_tasks WHERE parent = value AND finished_at_ms IS NULL)
    OR EXISTS (
        SELECT 1 FROM taskmill_edges INDEXED BY taskmill_unmet
        WHERE task = value AND is_met = 0 AND tie = 1
    )
