-- The pauses that ended before every task that is still active became ready.
DELETE FROM taskmill_pauses
WHERE ended_ms <= coalesce((
    SELECT min(ready_at_ms) FROM (
        SELECT min(ready_at_ms) AS ready_at_ms FROM taskmill_tasks INDEXED BY taskmill_ready
        WHERE status = 'pending' AND due_at_ms IS NULL
        UNION ALL
        SELECT min(ready_at_ms) FROM taskmill_tasks INDEXED BY taskmill_due
        WHERE due_at_ms IS NOT NULL
        UNION ALL
        SELECT min(ready_at_ms) FROM taskmill_tasks INDEXED BY taskmill_running
        WHERE status = 'running'
        UNION ALL
        SELECT min(ready_at_ms) FROM taskmill_tasks INDEXED BY taskmill_blocked
        WHERE status = 'blocked'
        UNION ALL
        SELECT min(ready_at_ms) FROM taskmill_tasks INDEXED BY taskmill_with_children
        WHERE status = 'waiting'
    )
), ended_ms)
RETURNING ended_ms
