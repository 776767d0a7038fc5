-- Hold a scope; one that is held already gets another deadline.
INSERT INTO taskmill_pauses (scope, name, since_ms, until_ms)
VALUES (:scope, :name, :now_ms, :until_ms)
ON CONFLICT (scope, name) WHERE ended_ms IS NULL DO UPDATE SET until_ms = excluded.until_ms
RETURNING scope, name, since_ms, until_ms, ended_ms
