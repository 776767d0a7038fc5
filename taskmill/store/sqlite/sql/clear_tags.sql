-- No tags to find a task by.
DELETE FROM taskmill_tags WHERE task = ?
