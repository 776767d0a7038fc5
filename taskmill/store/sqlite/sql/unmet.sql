-- Those of some tasks that depend on something that is not met.
SELECT value FROM json_each(?)
WHERE EXISTS (SELECT 1 FROM taskmill_edges WHERE task = value AND is_met = 0 AND tie = 0)
