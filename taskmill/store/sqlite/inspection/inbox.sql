-- What other processes have asked for and nobody has answered.
SELECT count(*) FROM taskmill_inbox INDEXED BY taskmill_unanswered WHERE answer IS NULL
