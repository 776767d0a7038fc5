-- What some tasks depend on.
SELECT task, waits_for
FROM taskmill_edges
WHERE task IN (SELECT value FROM json_each(:ids)) AND tie = 0
ORDER BY task, waits_for
