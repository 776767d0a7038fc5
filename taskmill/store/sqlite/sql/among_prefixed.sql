-- Every task that has a tag with a key in this range, once for each such tag.
SELECT task AS id FROM taskmill_tags INDEXED BY taskmill_tags_by_key
WHERE is_active IN (SELECT value FROM json_each(:lives))
    AND domain IN (SELECT value FROM json_each(:domains))
    AND key >= :prefix AND key < :prefix_end
