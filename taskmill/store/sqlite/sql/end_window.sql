-- A completed task stands for its identity no longer.
UPDATE taskmill_tasks SET unique_until_ms = NULL WHERE id = ?
