-- The process that ran them is gone: back to their old places, the attempt refunded.
UPDATE taskmill_tasks
SET status = 'pending', attempt = attempt - 1
WHERE status = 'running' AND stop_cause IS NULL
