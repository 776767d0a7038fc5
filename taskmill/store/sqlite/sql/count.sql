-- How many tasks a selection names; a parameter that is null selects nothing away.
SELECT count(*)
FROM taskmill_tasks
WHERE status IN (SELECT value FROM json_each(:statuses))
    AND (status <> 'pending' OR :is_paused IS NULL OR :is_paused = EXISTS (
        SELECT 1
        FROM taskmill_pauses AS pause
        WHERE pause.ended_ms IS NULL AND pause.name IN ('', domain, group_name)
            AND (
                pause.scope = 'scheduler'
                OR (pause.scope = 'domain' AND pause.name = domain)
                OR (pause.scope = 'group' AND pause.name = group_name)
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
