-- The children of a task, and what it joined.
SELECT
    {columns}
FROM taskmill_tasks
WHERE id IN (
    SELECT child.id FROM taskmill_tasks AS child WHERE child.parent = :id
    UNION
    SELECT waits_for FROM taskmill_edges WHERE task = :id AND tie = 1
)
ORDER BY id
