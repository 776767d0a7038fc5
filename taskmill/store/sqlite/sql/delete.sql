-- Delete tasks that have ended and that nothing needs: no active task has them for a parent or
-- waits for them, and they stand for no identity any more.
DELETE FROM taskmill_tasks NOT INDEXED
WHERE id IN (SELECT value FROM json_each(:ids)) AND finished_at_ms IS NOT NULL
    AND (unique_until_ms IS NULL OR unique_until_ms <= :now_ms)
    AND NOT EXISTS (
        SELECT 1 FROM taskmill_tasks AS child
        WHERE child.parent = taskmill_tasks.id AND child.finished_at_ms IS NULL
    )
    AND NOT EXISTS (
        SELECT 1 FROM taskmill_edges JOIN taskmill_tasks AS waiter ON waiter.id = task
        WHERE waits_for = taskmill_tasks.id AND waiter.finished_at_ms IS NULL
    )
    AND NOT EXISTS (
        SELECT 1 FROM taskmill_tasks AS above
        WHERE above.id = taskmill_tasks.parent AND above.finished_at_ms IS NULL
    )
