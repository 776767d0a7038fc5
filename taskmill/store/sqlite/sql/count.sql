-- How many tasks a selection names; a parameter that is null selects nothing away.
SELECT count(*)
FROM taskmill_tasks
WHERE status IN (SELECT value FROM json_each(:statuses))
    AND (status <> 'pending' OR :is_paused IS NULL OR :is_paused = (
        EXISTS (SELECT 1 FROM taskmill_pauses WHERE scope = 'scheduler' AND ended_ms IS NULL)
        OR domain IN (SELECT name FROM taskmill_pauses WHERE scope = 'domain' AND ended_ms IS NULL)
        OR coalesce(
            group_name IN (SELECT name FROM taskmill_pauses WHERE scope = 'group' AND ended_ms IS NULL), 0
        )
    ))
    AND (:domain IS NULL OR domain = :domain)
    AND (:types IS NULL OR type IN (SELECT value FROM json_each(:types)))
    AND (:ids IS NULL OR id IN (SELECT value FROM json_each(:ids)))
    AND (:any_group OR group_name IS :group)
    AND (:parent IS NULL OR parent = :parent)
    AND (:key IS NULL OR key = :key)
    AND (:created_before_ms IS NULL OR created_at_ms < :created_before_ms)
    AND (:created_after_ms IS NULL OR created_at_ms > :created_after_ms)
