-- The parent of the old task waits for the new one.
INSERT INTO taskmill_edges (task, waits_for, tie)
SELECT parent, :new, 1 FROM taskmill_tasks AS old
WHERE id = :old AND EXISTS (
    SELECT 1 FROM taskmill_tasks AS above WHERE above.id = old.parent AND above.finished_at_ms IS NULL
)
ON CONFLICT DO NOTHING
