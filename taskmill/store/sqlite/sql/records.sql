-- Tasks by their ids.
SELECT
    {columns}
FROM taskmill_tasks NOT INDEXED
WHERE id IN (SELECT value FROM json_each(:ids))
