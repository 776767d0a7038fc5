-- Runs that have returned, all at once: only those on record that were not told to stop, and whose
-- end concerns nobody else. What a run does not change by that stays as its claim left it.
UPDATE taskmill_tasks NOT INDEXED
SET status = 'completed', finished_at_ms = ended.now_ms, result = ended.result, spare = NULL
FROM (
    SELECT
        json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS run,
        json_extract(value, '$[2]') AS now_ms, json_extract(value, '$[3]') AS result
    FROM json_each(?)
) AS ended
WHERE taskmill_tasks.id = ended.id AND taskmill_tasks.run = ended.run AND status = 'running'
    AND stop_cause IS NULL AND is_linked = 0
RETURNING taskmill_tasks.id
