-- Parents that wait for children, of which none is active any more.
SELECT id FROM taskmill_tasks AS above
WHERE status = 'waiting'
    AND NOT EXISTS (
        SELECT 1 FROM taskmill_tasks AS child
        WHERE child.parent = above.id AND child.finished_at_ms IS NULL
    )
    AND NOT EXISTS (SELECT 1 FROM taskmill_edges WHERE task = above.id AND is_met = 0)
ORDER BY id
LIMIT 10
