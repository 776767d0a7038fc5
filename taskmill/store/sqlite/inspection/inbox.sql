-- What other processes have asked for.
SELECT count(*) FROM taskmill_inbox
