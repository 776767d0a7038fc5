-- A tag of a task that is there, active or ended.
INSERT INTO taskmill_tags (task, key, value, is_active, domain)
SELECT id, :key, :value, finished_at_ms IS NULL, domain FROM taskmill_tasks WHERE id = :id
