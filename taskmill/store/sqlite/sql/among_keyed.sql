-- Every task with a key.
SELECT id FROM taskmill_tasks INDEXED BY taskmill_keyed WHERE key = :key
