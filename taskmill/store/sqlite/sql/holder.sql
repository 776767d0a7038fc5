-- The task that stands for the identity of a task that has ended: active, or completed not long ago.
SELECT
    {columns}
FROM taskmill_tasks
WHERE id = coalesce(
    (
        SELECT active.id FROM taskmill_tasks AS active
        WHERE active.is_follow_up = 0 AND active.finished_at_ms IS NULL
            AND active.identity = (SELECT identity FROM taskmill_tasks WHERE id = :id)
    ),
    (
        SELECT held.id FROM taskmill_tasks AS held
        WHERE held.unique_until_ms > :now_ms AND held.unique_until_ms IS NOT NULL
            AND held.identity = (SELECT identity FROM taskmill_tasks WHERE id = :id)
        LIMIT 1
    )
)
