-- Hold a scope no longer; on its deadline only if that has not been moved.
UPDATE taskmill_pauses
SET ended_ms = max(:now_ms, since_ms)
WHERE scope = :scope AND name = :name AND ended_ms IS NULL
    AND (:due_by_ms IS NULL OR until_ms <= :due_by_ms)
RETURNING scope, name, since_ms, until_ms, ended_ms
