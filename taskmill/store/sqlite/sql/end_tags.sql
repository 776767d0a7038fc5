-- Those of these tasks that have ended are no longer found among the active ones.
UPDATE taskmill_tags
SET is_active = 0
WHERE task IN (
    SELECT id FROM taskmill_tasks NOT INDEXED
    WHERE id IN (SELECT value FROM json_each(:ids)) AND tags IS NOT NULL
        AND finished_at_ms IS NOT NULL
)
