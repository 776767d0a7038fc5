-- What has not ended, by id, a page at a time.
SELECT id, type, payload, memo, stage
FROM taskmill_tasks
WHERE finished_at_ms IS NULL AND id > :after
ORDER BY id
LIMIT :limit
