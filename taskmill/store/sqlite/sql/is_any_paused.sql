-- Whether anything is paused.
SELECT 1 FROM taskmill_pauses WHERE ended_ms IS NULL LIMIT 1
