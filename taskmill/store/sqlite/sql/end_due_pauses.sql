-- The pauses whose deadline passed while nobody dispatched.
UPDATE taskmill_pauses
SET ended_ms = max(until_ms, since_ms)
WHERE ended_ms IS NULL AND until_ms <= :now_ms
