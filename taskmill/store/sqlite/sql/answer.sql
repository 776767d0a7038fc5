-- What came of a request, and since when the answer waits for whoever asked.
UPDATE taskmill_inbox SET answer = :answer, asked_ms = :now_ms WHERE id = :id AND answer IS NULL
