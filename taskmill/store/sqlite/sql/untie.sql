-- Forget what a task has joined.
DELETE FROM taskmill_edges WHERE task = ? AND tie = 1
