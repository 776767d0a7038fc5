-- A request that the dispatcher is to answer.
INSERT INTO taskmill_inbox (body, asked_ms) VALUES (?, ?)
