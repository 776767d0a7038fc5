-- The oldest tasks that ended in a state, beyond the newest so many; without those that are needed
-- (as in delete.sql), which would be found again and again.
SELECT id FROM taskmill_tasks
WHERE status = :status AND finished_at_ms IS NOT NULL AND finished_at_ms < :before_ms
    AND (finished_at_ms, id) <= (
        SELECT finished_at_ms, id FROM taskmill_tasks
        WHERE status = :status AND finished_at_ms IS NOT NULL
        ORDER BY finished_at_ms DESC, id DESC LIMIT 1 OFFSET :kept
    )
    AND id NOT IN (SELECT value FROM json_each(:keep))
    AND (unique_until_ms IS NULL OR unique_until_ms <= :now_ms)
    AND NOT EXISTS (
        SELECT 1 FROM taskmill_tasks AS child
        WHERE child.parent = taskmill_tasks.id AND child.finished_at_ms IS NULL
    )
    AND NOT EXISTS (
        SELECT 1 FROM taskmill_edges JOIN taskmill_tasks AS waiter ON waiter.id = task
        WHERE waits_for = taskmill_tasks.id AND waiter.finished_at_ms IS NULL
    )
    AND NOT EXISTS (
        SELECT 1 FROM taskmill_tasks AS above
        WHERE above.id = taskmill_tasks.parent AND above.finished_at_ms IS NULL
    )
ORDER BY finished_at_ms, id
LIMIT :limit
