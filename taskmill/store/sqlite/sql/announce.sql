-- A submit that the dispatcher is to notice.
INSERT INTO taskmill_inbox (task, body) VALUES (?, ?)
