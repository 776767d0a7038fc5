-- What did not fit the code that had the file before is tried again by the code that opens it now.
UPDATE taskmill_tasks SET stage = stage - 16 WHERE stage >= 16
