-- What a task depends on.
SELECT waits_for FROM taskmill_edges WHERE task = ? AND tie = 0 ORDER BY waits_for
