-- Whether any active task has a tag.
SELECT 1 FROM taskmill_tags WHERE is_active = 1 LIMIT 1
