-- Those of these tasks that are active are found among the active ones again.
UPDATE taskmill_tags
SET is_active = 1
WHERE task IN (
    SELECT id FROM taskmill_tasks NOT INDEXED
    WHERE id IN (SELECT value FROM json_each(:ids)) AND tags IS NOT NULL AND finished_at_ms IS NULL
)
