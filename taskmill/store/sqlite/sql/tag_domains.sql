-- The domains of tagged tasks, active or ended; one step of the index for each.
WITH RECURSIVE domains (name) AS (
    SELECT min(domain) FROM taskmill_tags WHERE is_active = :is_active
    UNION ALL
    SELECT (
        SELECT min(domain) FROM taskmill_tags WHERE is_active = :is_active AND domain > domains.name
    )
    FROM domains
    WHERE name IS NOT NULL
)
SELECT name FROM domains WHERE name IS NOT NULL
