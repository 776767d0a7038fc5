-- One fact about this file.
SELECT value FROM taskmill_meta WHERE name = ?
