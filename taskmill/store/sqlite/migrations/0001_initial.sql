-- Tables carry a prefix so that they can live beside an application's own in one file.

CREATE TABLE taskmill_meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE taskmill_tasks (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    type           TEXT    NOT NULL,
    domain         TEXT    NOT NULL,
    payload        TEXT    NOT NULL,
    identity       BLOB    NOT NULL CHECK (length(identity) = 16),
    is_follow_up   INTEGER NOT NULL DEFAULT 0 CHECK (is_follow_up IN (0, 1)),
    key            TEXT,
    label          TEXT,
    tags           TEXT,
    group_name     TEXT    CHECK (group_name <> ''),
    status         TEXT    NOT NULL,
    priority       INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 255),
    attempt        INTEGER NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    run            INTEGER NOT NULL DEFAULT 0 CHECK (run >= attempt),
    max_retries    INTEGER CHECK (max_retries >= 0),
    options        TEXT,
    created_at_ms  INTEGER NOT NULL,
    ready_at_ms    INTEGER NOT NULL,
    due_at_ms      INTEGER,
    run_at_ms      INTEGER,
    started_at_ms  INTEGER,
    finished_at_ms INTEGER,
    parent         INTEGER REFERENCES taskmill_tasks (id),
    result         TEXT,
    reason         TEXT,
    stop_cause     TEXT    CHECK (stop_cause IN ('cancelled')),
    CHECK (status IN ('pending', 'blocked', 'running', 'waiting', 'completed', 'failed', 'dead',
                      'cancelled', 'superseded', 'expired', 'dependency_failed')),
    CHECK ((finished_at_ms IS NULL) = (status IN ('pending', 'blocked', 'running', 'waiting'))),
    CHECK (status <> 'running' OR (started_at_ms IS NOT NULL AND run > 0)),
    CHECK (due_at_ms IS NULL OR status = 'pending'),
    CHECK (result IS NULL OR status = 'completed'),
    CHECK ((reason IS NOT NULL)
           = (status IN ('failed', 'dead', 'cancelled', 'superseded', 'expired', 'dependency_failed'))),
    CHECK (stop_cause IS NULL OR status IN ('running', 'waiting', 'cancelled')),
    CHECK (is_follow_up = 0 OR status IN ('blocked', 'cancelled', 'superseded', 'expired'))
) STRICT;

-- The order of each lane's level.
CREATE INDEX taskmill_ready
    ON taskmill_tasks (type, group_name, priority, ready_at_ms, id)
    WHERE status = 'pending' AND due_at_ms IS NULL;

-- What is not due yet.
CREATE INDEX taskmill_due
    ON taskmill_tasks (due_at_ms)
    WHERE due_at_ms IS NOT NULL;

-- One active task stands for an identity, and one follow-up behind it.
CREATE UNIQUE INDEX taskmill_standing
    ON taskmill_tasks (identity)
    WHERE is_follow_up = 0 AND status IN ('pending', 'blocked', 'running', 'waiting');

CREATE UNIQUE INDEX taskmill_follow_up
    ON taskmill_tasks (identity)
    WHERE is_follow_up = 1 AND status = 'blocked';

-- What recovery looks for.
CREATE INDEX taskmill_running
    ON taskmill_tasks (id)
    WHERE status = 'running';

CREATE INDEX taskmill_children
    ON taskmill_tasks (parent)
    WHERE parent IS NOT NULL;

CREATE TABLE taskmill_errors (
    task      INTEGER NOT NULL REFERENCES taskmill_tasks (id) ON DELETE CASCADE,
    run       INTEGER NOT NULL,
    at_ms     INTEGER NOT NULL,
    type      TEXT    NOT NULL,
    message   TEXT    NOT NULL,
    traceback TEXT    NOT NULL,
    PRIMARY KEY (task, run)
) STRICT, WITHOUT ROWID;
