-- Tables carry a prefix so that they can live beside an application's own in one file.

CREATE TABLE taskmill_meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Rules of over two values are a CASE: an IN of so many is made into a table whenever a row is
-- written, which takes as long as one of its indexes.
CREATE TABLE taskmill_tasks (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    type           TEXT    NOT NULL,
    domain         TEXT    NOT NULL,
    payload        TEXT    NOT NULL,
    identity       BLOB    NOT NULL CHECK (length(identity) = 16),
    is_follow_up   INTEGER NOT NULL DEFAULT 0 CHECK (is_follow_up IN (0, 1)),
    is_replaced    INTEGER NOT NULL DEFAULT 0 CHECK (is_replaced IN (0, 1)),
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
    parent         INTEGER,
    result         TEXT,
    reason         TEXT,
    stop_cause     TEXT    CHECK (CASE stop_cause
        WHEN 'cancelled' THEN 1 WHEN 'superseded' THEN 1 WHEN 'failed' THEN 1
        ELSE stop_cause IS NULL
    END),
    preemptions    INTEGER NOT NULL DEFAULT 0 CHECK (preemptions BETWEEN 0 AND run),
    expires_at_ms  INTEGER,
    ttl_ms         INTEGER,
    ttl_from_start INTEGER NOT NULL DEFAULT 0 CHECK (ttl_from_start IN (0, 1)),
    stage          INTEGER NOT NULL DEFAULT 0 CHECK (CASE stage
        WHEN 0 THEN 1 WHEN 1 THEN 1 WHEN 2 THEN 1 WHEN 4 THEN 1 WHEN 5 THEN 1 WHEN 6 THEN 1
        WHEN 8 THEN 1 WHEN 16 THEN 1 WHEN 17 THEN 1 WHEN 20 THEN 1 WHEN 21 THEN 1
        ELSE 0
    END),
    memo           TEXT,
    fail_fast      INTEGER NOT NULL DEFAULT 1 CHECK (fail_fast IN (0, 1)),
    has_undo       INTEGER NOT NULL DEFAULT 0 CHECK (has_undo IN (0, 1)),
    on_dependency_failure TEXT CHECK (on_dependency_failure IN ('hold', 'ignore')),
    interruptions  INTEGER NOT NULL DEFAULT 0 CHECK (interruptions >= 0),
    max_interruptions INTEGER NOT NULL DEFAULT 5 CHECK (max_interruptions >= 1),
    unique_for_ms  INTEGER,
    unique_until_ms INTEGER CHECK (unique_until_ms IS NULL OR status = 'completed'),
    schedule       TEXT,
    scheduled_for_ms INTEGER,
    io             TEXT,
    is_linked      INTEGER NOT NULL DEFAULT 0 CHECK (is_linked IN (0, 1)),
    earlier_children INTEGER NOT NULL DEFAULT 0,
    -- As long as what is yet to come: two times and a longer status. So most rows keep their length
    -- while their tasks run and complete; one that grew would split its page, which mostly is full.
    spare          BLOB    DEFAULT x'0000000000000000000000000000',
    CHECK (is_replaced = 0 OR finished_at_ms IS NOT NULL),
    CHECK (CASE status
        WHEN 'pending' THEN
            is_follow_up = 0 AND finished_at_ms IS NULL AND result IS NULL
            AND CASE WHEN stage IN (2, 6)
                THEN stop_cause IS NOT NULL AND reason IS NOT NULL AND has_undo = 1
                ELSE stop_cause IS NULL AND reason IS NULL
            END
        WHEN 'running' THEN
            is_follow_up = 0 AND finished_at_ms IS NULL AND result IS NULL
            AND (stop_cause IS NULL) = (reason IS NULL)
            AND due_at_ms IS NULL AND started_at_ms IS NOT NULL AND run > 0
        WHEN 'completed' THEN
            is_follow_up = 0 AND finished_at_ms IS NOT NULL AND reason IS NULL
            AND due_at_ms IS NULL AND stop_cause IS NULL
        WHEN 'blocked' THEN
            finished_at_ms IS NULL AND result IS NULL AND reason IS NULL AND due_at_ms IS NULL
            AND stop_cause IS NULL
        WHEN 'waiting' THEN
            is_follow_up = 0 AND finished_at_ms IS NULL AND result IS NULL AND reason IS NULL
            AND due_at_ms IS NULL AND stop_cause IS NULL
        WHEN 'failed' THEN
            is_follow_up = 0 AND finished_at_ms IS NOT NULL AND result IS NULL
            AND reason IS NOT NULL AND due_at_ms IS NULL AND coalesce(stop_cause, status) = status
        WHEN 'dead' THEN
            is_follow_up = 0 AND finished_at_ms IS NOT NULL AND result IS NULL
            AND reason IS NOT NULL AND due_at_ms IS NULL AND stop_cause IS NULL
        WHEN 'cancelled' THEN
            finished_at_ms IS NOT NULL AND result IS NULL AND reason IS NOT NULL
            AND due_at_ms IS NULL AND coalesce(stop_cause, status) = status
        WHEN 'superseded' THEN
            finished_at_ms IS NOT NULL AND result IS NULL AND reason IS NOT NULL
            AND due_at_ms IS NULL AND coalesce(stop_cause, status) = status
        WHEN 'expired' THEN
            finished_at_ms IS NOT NULL AND result IS NULL AND reason IS NOT NULL
            AND due_at_ms IS NULL AND stop_cause IS NULL
        WHEN 'dependency_failed' THEN
            finished_at_ms IS NOT NULL AND result IS NULL
            AND reason IS NOT NULL AND due_at_ms IS NULL AND stop_cause IS NULL
        ELSE 0
    END)
) STRICT;

-- The order of each lane's level.
CREATE INDEX taskmill_ready
    ON taskmill_tasks (type, group_name, stage, priority, ready_at_ms, id)
    WHERE status = 'pending' AND due_at_ms IS NULL;

-- What is not due yet.
CREATE INDEX taskmill_due
    ON taskmill_tasks (due_at_ms)
    WHERE due_at_ms IS NOT NULL;

-- One active task stands for an identity, and one follow-up behind it. A task that has ended stays
-- in the place of the first until another needs that: each identity is on a page of its own, and to
-- take it out at the end would write that page as well.
CREATE UNIQUE INDEX taskmill_standing
    ON taskmill_tasks (identity)
    WHERE is_follow_up = 0 AND is_replaced = 0;

CREATE UNIQUE INDEX taskmill_follow_up
    ON taskmill_tasks (identity)
    WHERE is_follow_up = 1 AND finished_at_ms IS NULL;

-- What recovery looks for.
CREATE INDEX taskmill_running
    ON taskmill_tasks (id)
    WHERE status = 'running';

CREATE INDEX taskmill_children
    ON taskmill_tasks (parent, finished_at_ms)
    WHERE parent IS NOT NULL;

-- What may not start at all if it does not soon: neither begun (1, 2) nor on its way in (8).
CREATE INDEX taskmill_expiring
    ON taskmill_tasks (expires_at_ms)
    WHERE expires_at_ms IS NOT NULL AND status IN ('pending', 'blocked') AND stage & 11 = 0;

-- What still stands for its identity though it has completed.
CREATE INDEX taskmill_windows
    ON taskmill_tasks (identity, unique_until_ms)
    WHERE unique_until_ms IS NOT NULL;

-- Who waits for whom: tie 0 depends on it, tie 1 spawned the same work.
CREATE TABLE taskmill_edges (
    task      INTEGER NOT NULL REFERENCES taskmill_tasks (id) ON DELETE CASCADE,
    waits_for INTEGER NOT NULL,
    tie       INTEGER NOT NULL CHECK (tie IN (0, 1)),
    is_met    INTEGER NOT NULL DEFAULT 0 CHECK (is_met IN (0, 1)),
    PRIMARY KEY (task, waits_for, tie)
) STRICT, WITHOUT ROWID;

-- Who waits for a task; what is met counts when it is to be deleted.
CREATE INDEX taskmill_waiters
    ON taskmill_edges (waits_for, is_met);

CREATE INDEX taskmill_unmet
    ON taskmill_edges (task)
    WHERE is_met = 0;

-- What waits for another task.
CREATE INDEX taskmill_blocked
    ON taskmill_tasks (id)
    WHERE status = 'blocked';

-- What does not fit the code any more, until the next opening.
CREATE INDEX taskmill_unreadable
    ON taskmill_tasks (id)
    WHERE stage >= 16;

-- What waits for its children.
CREATE INDEX taskmill_with_children
    ON taskmill_tasks (id)
    WHERE status = 'waiting';

-- What has ended, by how and when.
CREATE INDEX taskmill_finished
    ON taskmill_tasks (status, finished_at_ms, id)
    WHERE finished_at_ms IS NOT NULL;

-- Ended tasks stay in it: to take them out would make each settlement dearer, and keeping them
-- costs nothing there.
CREATE INDEX taskmill_keyed
    ON taskmill_tasks (key)
    WHERE key IS NOT NULL;

-- The tags of a task, for finding it by them; its own row has them too, for its record.
CREATE TABLE taskmill_tags (
    task      INTEGER NOT NULL REFERENCES taskmill_tasks (id) ON DELETE CASCADE,
    key       TEXT    NOT NULL,
    value     TEXT    NOT NULL,
    is_active INTEGER NOT NULL DEFAULT 1 CHECK (is_active IN (0, 1)),
    domain    TEXT    NOT NULL,
    PRIMARY KEY (task, key)
) STRICT, WITHOUT ROWID;

-- The domain comes before the key: a domain that lacks a key would otherwise read through all
-- the values that others have under it.
CREATE INDEX taskmill_tags_by_key
    ON taskmill_tags (is_active, domain, key, value, task);

CREATE TABLE taskmill_errors (
    task      INTEGER NOT NULL REFERENCES taskmill_tasks (id) ON DELETE CASCADE,
    run       INTEGER NOT NULL,
    at_ms     INTEGER NOT NULL,
    type      TEXT    NOT NULL,
    message   TEXT    NOT NULL,
    traceback TEXT    NOT NULL,
    PRIMARY KEY (task, run)
) STRICT, WITHOUT ROWID;

-- What recurs: the task of its occurrences, and how far it has come.
CREATE TABLE taskmill_schedules (
    domain        TEXT    NOT NULL,
    name          TEXT    NOT NULL,
    template      TEXT    NOT NULL,
    rule          TEXT    NOT NULL,
    status        TEXT    NOT NULL CHECK (status IN ('active', 'paused', 'ended')),
    anchor_ms     INTEGER NOT NULL,
    next_ms       INTEGER,
    runs          INTEGER NOT NULL CHECK (runs >= 0),
    last_task     INTEGER,
    last_ms       INTEGER,
    reason        TEXT,
    is_declared   INTEGER NOT NULL CHECK (is_declared IN (0, 1)),
    created_at_ms INTEGER NOT NULL,
    PRIMARY KEY (domain, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX taskmill_firing
    ON taskmill_schedules (next_ms)
    WHERE status = 'active' AND next_ms IS NOT NULL;

-- What other transactions and processes left for the dispatcher: submits of a task that is there or
-- of one to be made, which are gone once settled, and requests, which are answered.
CREATE TABLE taskmill_inbox (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    task     INTEGER,
    body     TEXT    NOT NULL,
    asked_ms INTEGER,
    answer   TEXT,
    CHECK (task IS NULL OR asked_ms IS NULL),
    CHECK (answer IS NULL OR asked_ms IS NOT NULL)
) STRICT;

CREATE INDEX taskmill_unanswered
    ON taskmill_inbox (id)
    WHERE answer IS NULL;

CREATE INDEX taskmill_answered
    ON taskmill_inbox (asked_ms)
    WHERE answer IS NOT NULL;

-- What is paused, and what was while tasks waited: their age does not count that time.
CREATE TABLE taskmill_pauses (
    scope    TEXT    NOT NULL CHECK (scope IN ('scheduler', 'domain', 'group')),
    name     TEXT    NOT NULL CHECK ((name = '') = (scope = 'scheduler')),
    since_ms INTEGER NOT NULL,
    until_ms INTEGER,
    ended_ms INTEGER CHECK (ended_ms >= since_ms)
) STRICT;

CREATE UNIQUE INDEX taskmill_held
    ON taskmill_pauses (scope, name)
    WHERE ended_ms IS NULL;
