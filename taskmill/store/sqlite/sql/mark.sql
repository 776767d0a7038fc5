-- The end of these tasks concerns others.
UPDATE taskmill_tasks SET is_linked = 1 WHERE id IN (SELECT value FROM json_each(?)) AND is_linked = 0
