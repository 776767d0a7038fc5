-- Changes nothing, for no task is 0. A transaction that reads before it writes is refused to write
-- once somebody else has written.
UPDATE taskmill_tasks SET run = run WHERE id = 0
