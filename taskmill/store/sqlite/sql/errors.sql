-- How a task's attempts failed, oldest first.
SELECT type, message, traceback, run, at_ms
FROM taskmill_errors
WHERE task = ?
ORDER BY run
