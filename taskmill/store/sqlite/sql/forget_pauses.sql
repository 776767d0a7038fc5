-- The pauses that ended before every task that is still active became ready.
DELETE FROM taskmill_pauses
WHERE ended_ms <= coalesce((
    SELECT min(ready_at_ms) FROM taskmill_tasks INDEXED BY taskmill_standing
    WHERE is_follow_up = 0 AND finished_at_ms IS NULL
), ended_ms)
    AND ended_ms <= coalesce((
        SELECT min(ready_at_ms) FROM taskmill_tasks INDEXED BY taskmill_follow_up
        WHERE is_follow_up = 1 AND finished_at_ms IS NULL
    ), ended_ms)
