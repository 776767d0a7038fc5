-- Blocked tasks that wait for nothing that could end: no unmet tie to a task that is there, and no task
-- of the same identity ahead.
SELECT id FROM taskmill_tasks AS held
WHERE status = 'blocked'
    AND NOT EXISTS (
        SELECT 1 FROM taskmill_edges JOIN taskmill_tasks AS other ON other.id = waits_for
        WHERE task = held.id AND is_met = 0
    )
    AND NOT (is_follow_up = 1 AND EXISTS (
        SELECT 1 FROM taskmill_tasks AS ahead
        WHERE ahead.identity = held.identity AND ahead.is_follow_up = 0 AND ahead.is_replaced = 0
            AND ahead.finished_at_ms IS NULL
    ))
ORDER BY id
LIMIT 10
