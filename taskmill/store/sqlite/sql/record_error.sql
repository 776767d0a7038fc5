-- How a run failed.
INSERT INTO taskmill_errors (task, run, at_ms, type, message, traceback)
VALUES (:id, :run, :at_ms, :type, :message, :traceback)
ON CONFLICT (task, run) DO NOTHING
