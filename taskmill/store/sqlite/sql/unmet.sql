-- Those of some tasks that depend on something that is not met; what was deleted is not waited for.
SELECT value FROM json_each(?)
WHERE EXISTS (
    SELECT 1
    FROM taskmill_edges INDEXED BY taskmill_unmet JOIN taskmill_tasks AS other ON other.id = waits_for
    WHERE task = value AND is_met = 0 AND tie = 0
)
