-- Keep the last ten.
DELETE FROM taskmill_errors
WHERE task = :id AND run <= (
    SELECT run FROM taskmill_errors WHERE task = :id ORDER BY run DESC LIMIT 1 OFFSET 10
)
