-- What has to end before a task can go on: unmet ties, open children, the task it follows.
SELECT
    {columns}
FROM taskmill_tasks
WHERE id IN (
    SELECT waits_for FROM taskmill_edges INDEXED BY taskmill_unmet WHERE task = :id AND is_met = 0
    UNION
    SELECT child.id FROM taskmill_tasks AS child
    WHERE child.parent = :id AND child.finished_at_ms IS NULL
    UNION
    SELECT ahead.id FROM taskmill_tasks AS behind JOIN taskmill_tasks AS ahead
        ON ahead.identity = behind.identity AND ahead.is_follow_up = 0 AND ahead.is_replaced = 0
            AND ahead.finished_at_ms IS NULL
    WHERE behind.id = :id AND behind.is_follow_up = 1 AND behind.finished_at_ms IS NULL
)
ORDER BY id
LIMIT :limit
