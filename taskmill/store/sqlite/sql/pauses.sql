-- Every pause that holds, or that is remembered for aging.
SELECT scope, name, since_ms, until_ms, ended_ms FROM taskmill_pauses ORDER BY since_ms, scope, name
