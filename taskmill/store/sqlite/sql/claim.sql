-- Put the next run of each of these tasks on record that is still pending and has not expired.
UPDATE taskmill_tasks
SET status = 'running', run = run + 1, attempt = attempt + 1, started_at_ms = :now_ms,
    spare = x'0000000000000000',
    expires_at_ms = CASE
        WHEN ttl_from_start = 1 AND expires_at_ms IS NULL THEN :now_ms + ttl_ms ELSE expires_at_ms
    END
WHERE id IN (SELECT value FROM json_each(:ids)) AND status = 'pending' AND due_at_ms IS NULL
    AND (expires_at_ms IS NULL OR expires_at_ms > :now_ms OR stage NOT IN (0, 4))
RETURNING
    {columns}
