"""A process that dies at any statement of any change leaves the whole batch or nothing of it."""

from __future__ import annotations

import enum
import itertools
import shutil
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from taskmill.model.changes import (
    CancelTask,
    CancelWhere,
    Change,
    Claim,
    ClaimNew,
    Delete,
    Expire,
    Pause,
    Promote,
    Reorder,
    Request,
    Resume,
    ReviveWhere,
    SetSchedule,
    Settlement,
    StopCause,
    Submit,
)
from taskmill.model.choices import OnDuplicate
from taskmill.model.effects import Changed
from taskmill.model.errors import StoreError
from taskmill.model.outcomes import SubmitOutcome
from taskmill.model.pauses import PauseScope
from taskmill.model.record import TaskId, TaskRecord
from taskmill.model.schedules import Every
from taskmill.model.selection import Selection
from taskmill.model.status import ACTIVE
from taskmill.rules.recurrence import rule_to_json
from taskmill.rules.settle import Halted, Interrupted, Result, Returned, settle
from taskmill.store.sqlite import batch, opening, visiting
from taskmill.store.sqlite.carrying import find

from .conformance import ANY, T0, UNKNOWN, new_task, raised

Rows = list[list[tuple[object, ...]]]

PLAIN, RUNNING, FOLLOWED, STOPPED, WORN, LATE, DUE = (TaskId(n) for n in range(1, 8))
FOLLOW_UP = TaskId(8)
"""Behind `FOLLOWED`; another one is behind `STOPPED`."""

PARENT, CHILD, OTHER_CHILD, DEPENDENT, OWING, SUSPECT = (TaskId(n) for n in range(10, 16))
"""Two children run for a parent that waits; `DEPENDENT` needs one, and others need `RUNNING`."""


class Fault(enum.Enum):
    """What happens at the chosen statement."""

    DIES_BEFORE = "dies before"
    DIES_AFTER = "dies after"
    FAILS_BEFORE = "fails before"
    FAILS_AFTER = "fails after"
    DISK_FAILS = "the disk fails"


STATEMENT_FAULTS = [fault for fault in Fault if fault is not Fault.DISK_FAILS]
"""Those that concern one statement; a disk fails all changes of a batch."""


class Died(BaseException):
    """The process is gone: nothing that it would still do happens."""


class Breaking(sqlite3.Connection):
    """A connection with one fault, at the n-th statement."""

    countdown = 0
    fault: Fault | None = None
    is_dead = False

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        """Run one statement, unless this is the one."""
        return self._run(super().execute, *arguments)

    def executemany(self, *arguments: Any) -> sqlite3.Cursor:
        """Run one statement for many values, unless this is the one."""
        return self._run(super().executemany, *arguments)

    def _run(self, run: Callable[..., sqlite3.Cursor], *arguments: Any) -> sqlite3.Cursor:
        if self.is_dead:
            raise Died
        self.countdown -= 1
        if self.countdown or self.fault is None:
            return run(*arguments)
        if self.fault in (Fault.DIES_AFTER, Fault.FAILS_AFTER):
            run(*arguments).fetchall()
        if self.fault in (Fault.FAILS_BEFORE, Fault.FAILS_AFTER):
            raise sqlite3.OperationalError("refused")
        if self.fault is Fault.DISK_FAILS:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error
        self.is_dead = True
        raise Died


def connect(path: Path, at: int = 0, fault: Fault | None = None) -> Breaking:
    """A connection as the store's writing one, that breaks at statement ``at``."""
    db = sqlite3.connect(path, isolation_level=None, factory=Breaking)
    assert isinstance(db, Breaking)
    opening.configure(db, durability="NORMAL")
    db.countdown, db.fault = at, fault
    return db


def apply_all(db: sqlite3.Connection, changes: Iterable[Change]) -> list[Any]:
    """What came of ``changes``, each of which must have been stored."""
    effects = batch.apply(db, list(changes))
    assert not any(isinstance(effect, StoreError) for effect in effects), effects
    return effects


@pytest.fixture(scope="module")
def populated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a task, and a pause, in every state that a change can meet."""
    path = tmp_path_factory.mktemp("populated") / "app.db"
    with closing(connect(path)) as db:
        opening.migrate(db)
        opening.take_over(db, now_ms=T0, holder={})
        names = ("plain", "running", "followed", "stopped", "worn")
        apply_all(db, [Submit(tuple(new_task(name) for name in names))])
        late = (new_task("late", due_at_ms=T0 + 2), new_task("due", due_at_ms=T0 + 1))
        apply_all(db, [Submit(late), *(Claim(n, T0) for n in (RUNNING, FOLLOWED, STOPPED, WORN))])
        apply_all(db, [Submit((new_task("followed"), new_task("stopped")))])
        apply_all(db, [CancelTask(id=STOPPED, domain=None, reason=None, now_ms=T0)])
        for run in range(1, 12):
            apply_all(db, [ended(db, WORN, raised(run)), Claim(WORN, T0)])
        populate_ties(db)
        apply_all(db, [hold("held"), hold("due", until_ms=T0 + 8)])
        apply_all(db, [hold("old", now_ms=T0 - 9), let_go("old", now_ms=T0)])
        apply_all(db, [hold("waited through"), let_go("waited through", now_ms=T0 + 1)])
    return path


def populate_ties(db: sqlite3.Connection) -> None:
    """A family, tasks that depend on others, and runs that a crash cannot simply put back."""
    [(parent,)] = apply_all(db, [Submit((new_task("parent"),))])
    assert parent.id == PARENT
    children = (new_task("child", parent=PARENT), new_task("other child", parent=PARENT))
    apply_all(db, [Claim(PARENT, T0), Submit(children)])
    needs = new_task("dependent", depends_on=[CHILD, OTHER_CHILD])
    others = (new_task("owing"), new_task("suspect", max_interruptions=1))
    apply_all(db, [Submit((needs, *others)), Claim(CHILD, T0), ended(db, PARENT, Returned("1"))])
    apply_all(db, [Claim(SUSPECT, T0)])
    db.execute("UPDATE taskmill_tasks SET stage = 4, is_linked = 1 WHERE id = ?", (SUSPECT,))
    apply_all(db, [Claim(OWING, T0, True), cancelled(OWING), cancelled(CHILD)])
    apply_all(db, [Submit((new_task("behind suspect", depends_on=[SUSPECT, RUNNING]),))])
    apply_all(db, [Submit((new_task("short", expires_at_ms=T0 + 3),))])


def ended(db: sqlite3.Connection, task: TaskId, result: Result) -> Settlement:
    """The settlement of the run of ``task`` that is on record."""
    record = find(db, task)
    assert isinstance(record, TaskRecord)
    return settle(record, result, now_ms=T0 + 5)


def cancelled(task: TaskId) -> CancelTask:
    return CancelTask(id=task, domain=None, reason="no", now_ms=T0 + 5)


def hold(group: str, *, now_ms: int = T0, until_ms: int | None = None) -> Pause:
    return Pause(scope=PauseScope.GROUP, name=group, now_ms=now_ms, until_ms=until_ms)


def let_go(group: str, *, now_ms: int) -> Resume:
    return Resume(scope=PauseScope.GROUP, name=group, now_ms=now_ms)


ACTIVES = Selection(statuses=ACTIVE)
REPLACING = new_task("running", depends_on=[PLAIN], on_duplicate=OnDuplicate.SUPERSEDE)

Batch = Callable[[sqlite3.Connection], list[Change]]

SUBMIT = Submit((new_task("x"), new_task("y"), new_task("z", parent=RUNNING)))
JOIN = Submit((new_task("plain", priority=1), new_task("running"), new_task("followed")))

BATCHES: dict[str, Batch] = {
    "submit of three": lambda _: [SUBMIT],
    "submit of three that join": lambda _: [JOIN],
    "submit that is refused": lambda _: [Submit((new_task("x"), new_task("y", parent=UNKNOWN)))],
    "claim": lambda _: [Claim(PLAIN, T0 + 5)],
    "submit and claim": lambda _: [
        Submit((new_task("x", requeue=False),)),
        ClaimNew(0, T0 + 5, has_undo=True),
    ],
    "completed": lambda db: [ended(db, RUNNING, Returned("1"))],
    "completed before a follow-up": lambda db: [ended(db, FOLLOWED, Returned("1"))],
    "completed after a stop": lambda db: [ended(db, STOPPED, Returned("1"))],
    "failed": lambda db: [ended(db, RUNNING, raised(1, delay_ms=None))],
    "failed after a stop": lambda db: [ended(db, STOPPED, raised(1, delay_ms=None))],
    "dead": lambda db: [ended(db, FOLLOWED, raised(1, max_retries=0))],
    "retried at once": lambda db: [ended(db, RUNNING, raised(1))],
    "retried later, the errors trimmed": lambda db: [ended(db, WORN, raised(12, delay_ms=9))],
    "stopped": lambda db: [ended(db, RUNNING, Halted(StopCause.CANCELLED))],
    "interrupted": lambda db: [ended(db, RUNNING, Halted(StopCause.SHUTDOWN))],
    "lost its worker": lambda db: [ended(db, RUNNING, Interrupted("gone", 5))],
    "preempted": lambda db: [ended(db, RUNNING, Halted(StopCause.PREEMPTED))],
    "preempted after a stop": lambda db: [ended(db, STOPPED, Halted(StopCause.PREEMPTED))],
    "cancel of a waiting task": lambda _: [cancelled(PLAIN)],
    "cancel of a task not due": lambda _: [cancelled(LATE)],
    "cancel of a follow-up": lambda _: [cancelled(FOLLOW_UP)],
    "cancel of a running task": lambda _: [cancelled(RUNNING)],
    "promote": lambda _: [Promote(now_ms=T0 + 5, limit=10)],
    "pause": lambda _: [hold("new", now_ms=T0 + 5, until_ms=T0 + 9)],
    "pause with another deadline": lambda _: [hold("held", now_ms=T0 + 5, until_ms=T0 + 9)],
    "pause of all scopes": lambda _: [
        Pause(scope=PauseScope.SCHEDULER, name="", now_ms=T0 + 5),
        Pause(scope=PauseScope.DOMAIN, name="held", now_ms=T0 + 5),
        hold("new", now_ms=T0 + 5),
    ],
    "resume": lambda _: [let_go("held", now_ms=T0 + 5)],
    "resume of what is not held": lambda _: [let_go("old", now_ms=T0 + 5)],
    "pause and resume": lambda _: [hold("new", now_ms=T0 + 5), let_go("held", now_ms=T0 + 5)],
    "a child that fails": lambda db: [ended(db, CHILD, raised(1, delay_ms=None))],
    "a family that is cancelled": lambda _: [cancelled(PARENT)],
    "an on_cancel that is owed": lambda db: [ended(db, OWING, Halted(StopCause.CANCELLED))],
    "an end that others depend on": lambda db: [ended(db, SUSPECT, raised(1, max_retries=0))],
    "supersede of what others depend on": lambda _: [Submit((REPLACING,))],
    "a dependency that fails at once": lambda db: [
        ended(db, SUSPECT, raised(1, delay_ms=None)),
        Submit((new_task("x", depends_on=[SUSPECT, PLAIN]),)),
    ],
    "finalize": lambda db: [ended(db, RUNNING, Returned("1", finalizes=True))],
    "expire": lambda _: [Expire(now_ms=T0 + 5, limit=10)],
    "cancel of all": lambda _: [CancelWhere(selection=ACTIVES, reason="no", now_ms=T0 + 5)],
    "revive of all": lambda _: [
        CancelWhere(selection=ACTIVES, reason="no", now_ms=T0 + 5),
        ReviveWhere(selection=ANY, now_ms=T0 + 5),
    ],
    "reorder": lambda _: [
        Reorder(id=PLAIN, domain=None, now_ms=T0 + 5, priority=1, run_at_ms=T0 + 9)
    ],
    "delete": lambda _: [cancelled(PLAIN), Delete(selection=ANY, keep=frozenset(), now_ms=T0 + 5)],
    "all kinds": lambda db: [
        hold("due", now_ms=T0 + 5, until_ms=T0 + 20),
        let_go("held", now_ms=T0 + 5),
        ended(db, FOLLOWED, Returned("1")),
        SUBMIT,
        Claim(PLAIN, T0 + 5),
        cancelled(LATE),
        Promote(now_ms=T0 + 5, limit=10),
        ended(db, RUNNING, raised(1, delay_ms=9)),
    ],
}


ONCE = {"supersede of what others depend on", "a dependency that fails at once"}
"""What does more when it is done twice."""


@pytest.mark.parametrize("fault", STATEMENT_FAULTS)
@pytest.mark.parametrize("kind", BATCHES)
def test_a_batch_is_applied_whole_or_not_at_all(
    populated: Path, tmp_path: Path, kind: str, fault: Fault
) -> None:
    with closing(connect(copied(populated, tmp_path / "plan.db"))) as db:
        changes = BATCHES[kind](db)
        before = rows(db)
        apply_all(db, changes)
        after = rows(db)
    seen: list[Rows] = []
    at = 0
    for at in itertools.count(1):
        work = partial(apply_all, changes=changes)
        left = broken(populated, tmp_path, at, fault, work)
        if left is None:
            break
        with closing(connect(left)) as db:
            seen.append(rows(db))
            assert seen[-1] in (before, after), f"half a batch, after statement {at}"
            if seen[-1] == before or kind not in ONCE:
                apply_all(db, changes)
                assert rows(db) == after
    assert at > 3
    assert before in seen
    assert after in seen or fault is Fault.DIES_BEFORE


@pytest.mark.parametrize("kind", ["submit of three", "all kinds"])
def test_a_batch_at_which_the_disk_fails_is_not_applied_at_all(
    populated: Path, tmp_path: Path, kind: str
) -> None:
    with closing(connect(copied(populated, tmp_path / "plan.db"))) as db:
        changes = BATCHES[kind](db)
        before = rows(db)
    at = 0
    for at in itertools.count(1):
        path = copied(populated, tmp_path / "work.db")
        with closing(connect(path, at, Fault.DISK_FAILS)) as db:
            with suppress(sqlite3.OperationalError):
                apply_all(db, changes)
                break
            assert not db.in_transaction
            assert rows(db) == before
    assert at > 3


def test_what_is_redone_because_a_change_was_refused_is_done_once(
    populated: Path, tmp_path: Path
) -> None:
    fresh = [Submit((new_task(name, payload=name),)) for name in "abc"]
    refused = Submit((new_task("refused", payload="\ud800"),))
    with closing(connect(copied(populated, tmp_path / "work.db"))) as db:
        effects = batch.apply(db, [fresh[0], fresh[1], cancelled(PLAIN), refused, fresh[2]])
        assert [isinstance(effect, StoreError) for effect in effects] == [False] * 3 + [True, False]
        statement = "SELECT count(*) FROM taskmill_tasks WHERE payload IN ('a', 'b', 'c')"
        assert db.execute(statement).fetchone() == (3,)
    first, _, stopped, *_ = effects
    assert isinstance(first, tuple)
    assert first[0].outcome is SubmitOutcome.INSERTED
    assert isinstance(stopped, Changed)
    assert stopped.named == (PLAIN,)


REQUESTS: list[Request] = [
    cancelled(PARENT),
    Submit((new_task("plain", priority=1), new_task("fresh"))),
    Submit((new_task("free"),)),
    hold("asked for"),
    SetSchedule(
        domain="work",
        name="s",
        template=new_task("s"),
        rule=rule_to_json(Every(timedelta(minutes=1))),
        is_declared=False,
        now_ms=T0,
    ),
    Delete(selection=ANY, keep=frozenset(), now_ms=T0),
]


def ask(db: sqlite3.Connection) -> None:
    visiting.request(db, REQUESTS, now_ms=T0)


def settle_inbox(db: sqlite3.Connection) -> None:
    visiting.settle(db, now_ms=T0 + 5)


@pytest.mark.parametrize("fault", [Fault.DIES_BEFORE, Fault.DIES_AFTER])
@pytest.mark.parametrize("is_asked", [False, True], ids=["asking", "settling"])
def test_a_request_is_left_whole_and_carried_out_once_with_its_answer(
    populated: Path, tmp_path: Path, fault: Fault, *, is_asked: bool
) -> None:
    source = copied(populated, tmp_path / "source.db")
    with closing(connect(source)) as db:
        if is_asked:
            ask(db)
    work = settle_inbox if is_asked else ask
    with closing(connect(copied(source, tmp_path / "plan.db"))) as db:
        before = rows(db)
        work(db)
        after = rows(db)
        if is_asked:
            answers = db.execute("SELECT answer FROM taskmill_inbox").fetchall()
            assert len(answers) == len(REQUESTS) - 1  # one was made at once
            assert not any("error" in answer for (answer,) in answers), answers
    seen: list[Rows] = []
    for at in itertools.count(1):
        left = broken(source, tmp_path, at, fault, work)
        if left is None:
            break
        with closing(connect(left)) as db:
            seen.append(rows(db))
            assert seen[-1] in (before, after), f"half of it, after statement {at}"
            if is_asked:
                work(db)
                assert rows(db) == after
    assert len(seen) > 10
    assert before in seen


@pytest.mark.parametrize("fault", STATEMENT_FAULTS)
def test_an_opening_that_breaks_off_is_made_up_for_by_the_next(
    populated: Path, tmp_path: Path, fault: Fault
) -> None:
    work = partial(opening.take_over, now_ms=T0 + 9, holder={"pid": 1})
    with closing(connect(copied(populated, tmp_path / "plan.db"))) as db:
        before = rows(db)
        work(db)
        after = rows(db)
    at = 0
    for at in itertools.count(1):
        left = broken(populated, tmp_path, at, fault, work)
        if left is None:
            break
        with closing(connect(left)) as db:
            assert rows(db) in (before, after)
            work(db)
            assert rows(db) == after
    assert at > 30


@pytest.mark.parametrize("fault", STATEMENT_FAULTS)
def test_a_migration_that_breaks_off_leaves_the_old_file(tmp_path: Path, fault: Fault) -> None:
    empty, fresh = tmp_path / "empty.db", tmp_path / "fresh.db"
    for path in (empty, fresh):
        connect(path).close()
    with closing(connect(fresh)) as db:
        opening.migrate(db)
        whole = schema(db)
    at = 0
    for at in itertools.count(1):
        left = broken(empty, tmp_path, at, fault, opening.migrate)
        if left is None:
            break
        with closing(connect(left)) as db:
            assert schema(db) in ([], whole)
            opening.migrate(db)
            assert schema(db) == whole
    assert at > 5


def broken(
    source: Path, folder: Path, at: int, fault: Fault, work: Callable[[sqlite3.Connection], object]
) -> Path | None:
    """The file as it is left where ``work`` breaks at statement ``at``; None where it has fewer."""
    path, left = copied(source, folder / "work.db"), folder / "left.db"
    with closing(connect(path, at, fault)) as db:
        with suppress(Died, sqlite3.OperationalError):
            work(db)
        if db.countdown > 0:
            return None
        copied(path, left)
    with closing(sqlite3.connect(left)) as plain:
        assert plain.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert plain.execute("PRAGMA foreign_key_check").fetchall() == []
    return left


def copied(source: Path, target: Path) -> Path:
    """A copy of a database and its log as they are now, which is what a dead process leaves."""
    for suffix in ("", "-wal"):
        part, copy = Path(f"{source}{suffix}"), Path(f"{target}{suffix}")
        copy.unlink(missing_ok=True)
        if part.exists():
            shutil.copyfile(part, copy)
    Path(f"{target}-shm").unlink(missing_ok=True)
    return target


def rows(db: sqlite3.Connection) -> Rows:
    """All that is stored."""
    return [
        db.execute("SELECT * FROM taskmill_inbox ORDER BY id").fetchall(),
        db.execute("SELECT * FROM taskmill_schedules ORDER BY domain, name").fetchall(),
        db.execute("SELECT * FROM taskmill_tasks ORDER BY id").fetchall(),
        db.execute("SELECT * FROM taskmill_edges ORDER BY task, waits_for, tie").fetchall(),
        db.execute("SELECT * FROM taskmill_errors ORDER BY task, run").fetchall(),
        db.execute("SELECT * FROM taskmill_pauses ORDER BY scope, name, since_ms").fetchall(),
    ]


def schema(db: sqlite3.Connection) -> list[tuple[object, ...]]:
    return db.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY name").fetchall()
