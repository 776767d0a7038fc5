-- A new task that is as most are: what is not named here has its default. To give all the values takes
-- half as long again.
INSERT INTO taskmill_tasks (
    type, domain, payload, identity, key, group_name, status, priority, created_at_ms, ready_at_ms
)
VALUES (?, ?, ?, ?, ?, ?, 'pending', ?, ?, ?)
ON CONFLICT DO NOTHING
