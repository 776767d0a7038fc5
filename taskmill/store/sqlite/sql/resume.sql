-- Hold a scope no longer.
UPDATE taskmill_pauses
SET ended_ms = max(:now_ms, since_ms)
WHERE scope = :scope AND name = :name AND ended_ms IS NULL
RETURNING scope, name, since_ms, until_ms, ended_ms
