-- Whether this file has ever held tasks.
SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'taskmill_meta'
