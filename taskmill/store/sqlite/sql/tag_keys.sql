-- The tag keys of a domain's active tasks that lie in a range; one step of the index for each.
WITH RECURSIVE keys (key) AS (
    SELECT min(key) FROM taskmill_tags
    WHERE is_active = 1 AND domain = :domain AND key >= :prefix AND key < :prefix_end
    UNION ALL
    SELECT (
        SELECT min(tags.key) FROM taskmill_tags AS tags
        WHERE tags.is_active = 1 AND tags.domain = :domain
            AND tags.key > keys.key AND tags.key < :prefix_end
    )
    FROM keys
    WHERE key IS NOT NULL
)
SELECT key FROM keys WHERE key IS NOT NULL
