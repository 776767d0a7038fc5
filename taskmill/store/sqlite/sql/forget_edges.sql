-- Nobody waits for this task any more.
DELETE FROM taskmill_edges WHERE waits_for = ? AND is_met = 0
