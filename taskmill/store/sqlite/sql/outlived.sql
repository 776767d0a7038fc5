-- The oldest tasks that ended in a state, beyond the newest so many.
SELECT id FROM taskmill_tasks
WHERE status = :status AND finished_at_ms IS NOT NULL AND finished_at_ms < :before_ms
    AND finished_at_ms <= (
        SELECT finished_at_ms FROM taskmill_tasks
        WHERE status = :status AND finished_at_ms IS NOT NULL
        ORDER BY finished_at_ms DESC LIMIT 1 OFFSET :kept
    )
ORDER BY finished_at_ms
LIMIT :limit
