-- The tasks whose time has come, a batch at a time.
UPDATE taskmill_tasks
SET due_at_ms = NULL
WHERE id IN (
    SELECT id FROM taskmill_tasks
    WHERE due_at_ms IS NOT NULL AND due_at_ms <= :now_ms
    ORDER BY due_at_ms
    LIMIT :limit
)
RETURNING type, group_name, priority, ready_at_ms, id, stage, attempt
