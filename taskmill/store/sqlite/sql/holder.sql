-- What holds the identity of a task that has ended: an active one, or one that completed not long ago.
SELECT
    {columns}
FROM taskmill_tasks
WHERE id = coalesce(
    (
        SELECT standing.id FROM taskmill_tasks AS standing
        WHERE standing.is_follow_up = 0 AND standing.is_replaced = 0
            AND standing.finished_at_ms IS NULL
            AND standing.identity = (SELECT identity FROM taskmill_tasks WHERE id = :id)
    ),
    (
        SELECT done.id FROM taskmill_tasks AS done
        WHERE done.unique_until_ms IS NOT NULL AND done.unique_until_ms > :now_ms
            AND done.identity = (SELECT identity FROM taskmill_tasks WHERE id = :id)
        ORDER BY done.unique_until_ms DESC, done.id DESC
        LIMIT 1
    )
)
