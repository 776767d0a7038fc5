-- Whether the task that is in the place of the one that stands for an identity has ended.
SELECT finished_at_ms IS NOT NULL FROM taskmill_tasks
WHERE identity = ? AND is_follow_up = 0 AND is_replaced = 0
