-- A tag of a new task.
INSERT INTO taskmill_tags (task, key, value, domain) VALUES (?, ?, ?, ?)
