-- Whether a scheduler has ever opened this file.
SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'taskmill_meta'
