-- How many tasks there are, by their state.
SELECT status, count(*) FROM taskmill_tasks GROUP BY status ORDER BY status
