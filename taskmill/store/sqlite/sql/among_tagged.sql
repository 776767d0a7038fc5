-- Every task with a tag.
SELECT task AS id FROM taskmill_tags INDEXED BY taskmill_tags_by_key
WHERE is_active IN (SELECT value FROM json_each(:lives))
    AND domain IN (SELECT value FROM json_each(:domains))
    AND key = :tag_key AND value = :tag_value
