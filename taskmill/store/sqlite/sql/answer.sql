-- What came of a request.
UPDATE taskmill_inbox SET answer = ? WHERE id = ? AND answer IS NULL
