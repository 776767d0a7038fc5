-- What a task depends on that is not met, and where that is.
SELECT other.id, other.status
FROM taskmill_edges INDEXED BY taskmill_unmet JOIN taskmill_tasks AS other ON other.id = waits_for
WHERE task = ? AND tie = 0 AND is_met = 0
ORDER BY other.id
