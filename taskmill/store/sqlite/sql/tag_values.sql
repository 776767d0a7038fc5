-- How many of a domain's tasks, active or ended, have each value of a tag.
SELECT value, count(*)
FROM taskmill_tags
WHERE is_active = :is_active AND domain = :domain AND key = :counted
GROUP BY value
