-- The schedules that have not ended, each with the task that it makes.
SELECT domain, name, template, is_declared
FROM taskmill_schedules
WHERE status <> 'ended'
ORDER BY domain, name
