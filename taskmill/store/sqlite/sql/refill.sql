-- The ready tasks of one level behind a position, in order.
SELECT ready_at_ms, id
FROM taskmill_tasks
WHERE status = 'pending' AND due_at_ms IS NULL
    AND type = :type AND group_name IS :group AND stage = :stage AND priority = :priority
    AND (ready_at_ms, id) > (:ready_at_ms, :id)
ORDER BY ready_at_ms, id
LIMIT :limit
