-- A task that has ended gives up its place to the one of its identity that is to stand there.
UPDATE taskmill_tasks
SET is_replaced = 1
WHERE identity = (SELECT identity FROM taskmill_tasks WHERE id = ?)
    AND is_follow_up = 0 AND is_replaced = 0 AND finished_at_ms IS NOT NULL
