-- The tasks that cannot end before one of some others has.
SELECT task FROM taskmill_edges WHERE waits_for IN (SELECT value FROM json_each(:ids)) AND is_met = 0
UNION
SELECT parent FROM taskmill_tasks NOT INDEXED
WHERE id IN (SELECT value FROM json_each(:ids)) AND parent IS NOT NULL
UNION
SELECT behind.id FROM taskmill_tasks AS behind
WHERE behind.is_follow_up = 1 AND behind.finished_at_ms IS NULL AND behind.identity IN (
    SELECT ahead.identity FROM taskmill_tasks AS ahead
    WHERE ahead.id IN (SELECT value FROM json_each(:ids)) AND ahead.is_follow_up = 0
        AND ahead.finished_at_ms IS NULL
)
