-- What was announced has been taken.
DELETE FROM taskmill_inbox WHERE id <= ?
