-- The first child of this life of a task, or task it joined, that ended in failure.
SELECT
    {columns}
FROM taskmill_tasks
WHERE id = coalesce(
    (
        SELECT child.id FROM taskmill_tasks AS child INDEXED BY taskmill_children
        WHERE child.parent = :id AND child.finished_at_ms IS NOT NULL
            AND child.status NOT IN ('completed', 'superseded')
            AND child.id > (SELECT earlier_children FROM taskmill_tasks WHERE id = :id)
        ORDER BY child.finished_at_ms, child.id
        LIMIT 1
    ),
    (
        SELECT other.id FROM taskmill_edges JOIN taskmill_tasks AS other ON other.id = waits_for
        WHERE task = :id AND tie = 1 AND other.finished_at_ms IS NOT NULL
            AND other.status NOT IN ('completed', 'superseded')
        ORDER BY waits_for
        LIMIT 1
    )
)
