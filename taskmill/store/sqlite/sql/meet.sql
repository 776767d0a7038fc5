-- A task waits for another no longer.
UPDATE taskmill_edges SET is_met = 1 WHERE task = ? AND waits_for = ? AND is_met = 0
