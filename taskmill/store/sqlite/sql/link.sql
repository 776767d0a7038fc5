-- A task waits for another.
INSERT INTO taskmill_edges (task, waits_for, tie, is_met) VALUES (?, ?, ?, ?)
ON CONFLICT (task, waits_for, tie) DO UPDATE SET is_met = min(is_met, excluded.is_met)
