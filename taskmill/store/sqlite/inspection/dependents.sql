-- Tasks that depend on one, or did.
SELECT task FROM taskmill_edges INDEXED BY taskmill_waiters
WHERE waits_for = :id AND tie = 0
ORDER BY task
LIMIT :limit
