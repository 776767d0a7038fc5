-- Something has a name as taskmill's tables have.
SELECT name FROM sqlite_schema WHERE name >= 'taskmill_' AND name < 'taskmill`' LIMIT 1
