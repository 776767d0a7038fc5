-- The highest id that was ever given.
SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'taskmill_tasks'
