-- Who waited for the old task waits for the new one.
UPDATE OR IGNORE taskmill_edges SET waits_for = :new WHERE waits_for = :old AND is_met = 0
