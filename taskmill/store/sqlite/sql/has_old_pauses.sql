-- Whether any pause has ended.
SELECT 1 FROM taskmill_pauses WHERE ended_ms IS NOT NULL LIMIT 1
