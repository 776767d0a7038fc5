-- The process that ran them is gone: back to their old places, the attempt refunded. What was there
-- too often is suspected, and runs once more alone.
UPDATE taskmill_tasks
SET status = 'pending', attempt = attempt - 1, interruptions = interruptions + 1,
    is_linked = is_linked OR interruptions + 1 >= max_interruptions,
    stage = CASE WHEN interruptions + 1 >= max_interruptions THEN stage | 4 ELSE stage END
WHERE status = 'running' AND stop_cause IS NULL AND stage < 4
