-- The pauses that ended before every task that is still active became ready.
DELETE FROM taskmill_pauses
WHERE ended_ms <= coalesce(
    (SELECT min(ready_at_ms) FROM taskmill_tasks WHERE finished_at_ms IS NULL), ended_ms
)
