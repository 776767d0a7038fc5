-- A task that has ended gives up the place of the one that stands for its identity.
UPDATE taskmill_tasks
SET is_replaced = 1
WHERE identity = ? AND is_follow_up = 0 AND is_replaced = 0 AND finished_at_ms IS NOT NULL
