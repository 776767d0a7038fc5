-- What came of a request.
SELECT answer FROM taskmill_inbox WHERE id = ?
