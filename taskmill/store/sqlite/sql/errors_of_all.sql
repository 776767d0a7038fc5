-- How the attempts of these tasks failed, oldest first for each.
SELECT task, type, message, traceback, run, at_ms
FROM taskmill_errors
WHERE task IN (SELECT value FROM json_each(:ids))
ORDER BY task, run
