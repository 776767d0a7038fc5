-- The handlers of these tasks have an on_cancel and are about to start.
UPDATE taskmill_tasks SET has_undo = 1 WHERE id IN (SELECT value FROM json_each(?)) AND has_undo = 0
