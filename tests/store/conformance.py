"""The backends that must pass the suite, and what its tests speak with: the `Store` protocol.

A new backend is one more entry in `BACKENDS`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import attrs
import pytest

from taskmill.model.changes import (
    CancelTask,
    Change,
    Claim,
    Delete,
    Expire,
    NewTask,
    Pause,
    Resume,
    Revive,
    Settlement,
    Submit,
)
from taskmill.model.choices import OnDependencyFailure, OnDuplicate
from taskmill.model.effects import Changed, Deleted, Effect, Move, Placed, Refused, Settled, Swept
from taskmill.model.errors import StoreError
from taskmill.model.pauses import PauseRecord, PauseScope
from taskmill.model.record import ErrorRecord, TaskId, TaskRecord
from taskmill.model.selection import Selection
from taskmill.model.status import ACTIVE, TERMINAL, TaskStatus
from taskmill.model.times import from_ms, to_ms
from taskmill.rules.dedup import identity
from taskmill.rules.settle import Raised, Result, Returned, settle
from taskmill.store.base import Store
from taskmill.store.sqlite import SqliteStore
from taskmill.store.sqlite.store import Durability

T = TypeVar("T")

NOW = datetime(2030, 1, 1, tzinfo=UTC)
T0 = to_ms(NOW)
MINUTE = 60_000
UNKNOWN = TaskId(1_000_000)
ANY = Selection(statuses=ACTIVE | TERMINAL)


MADE: list[Store] = []
"""Closed after each test: an open connection's thread would keep a failed run from ending."""


@attrs.frozen(kw_only=True)
class Backend:
    """A kind of store, and how to make one in a folder."""

    name: str
    is_lasting: bool
    """Whether a second store made in the same folder finds what the first one left."""
    make: Callable[[Path], Store]


BACKENDS = (
    Backend(
        name="sqlite-file",
        is_lasting=True,
        make=lambda folder: SqliteStore(folder / "app.db"),
    ),
    Backend(
        name="sqlite-memory",
        is_lasting=False,
        make=lambda _folder: SqliteStore(":memory:"),
    ),
)

AT_SCALE = pytest.mark.parametrize(
    "backend", [each for each in BACKENDS if each.is_lasting], ids=lambda each: each.name
)
"""For tests with many tasks: where they last; in memory the statements are the same."""


@attrs.frozen
class Place:
    """Where one test keeps its tasks; every store made here finds what the last one left."""

    backend: Backend
    folder: Path

    def store(self) -> Store:
        """A store that is not open yet."""
        store = self.backend.make(self.folder)
        MADE.append(store)
        return store

    @asynccontextmanager
    async def opened(self, *, now: datetime = NOW) -> AsyncGenerator[Store]:
        """A store, open inside the block."""
        store = self.store()
        await store.open(now=now)
        try:
            yield store
        finally:
            await store.close()


def sqlite_store(path: Path, *, durability: Durability = "power") -> SqliteStore:
    """A SQLite store that is not open yet."""
    store = SqliteStore(path, durability=durability)
    MADE.append(store)
    return store


# --- what is submitted ---------------------------------------------------------------------------


def new_task(
    name: str,
    *,
    kind: str = "work::job",
    domain: str = "work",
    payload: str | None = None,
    key: str | None = None,
    label: str | None = None,
    tags: Mapping[str, str] | None = None,
    group: str | None = None,
    priority: int = 100,
    max_retries: int | None = None,
    options: str | None = None,
    created_at_ms: int = T0,
    due_at_ms: int | None = None,
    parent: TaskId | None = None,
    inherits_tags: bool = False,
    requeue: bool = True,
    on_duplicate: OnDuplicate = OnDuplicate.KEEP,
    unique_for_ms: int | None = None,
    expires_at_ms: int | None = None,
    ttl_ms: int | None = None,
    has_ttl: bool = False,
    fail_fast: bool = True,
    max_interruptions: int = 5,
    depends_on: Sequence[TaskId] = (),
    on_dependency_failure: OnDependencyFailure = OnDependencyFailure.CANCEL,
) -> NewTask:
    """A task whose identity is its ``kind`` and ``name``."""
    return NewTask(
        type=kind,
        domain=domain,
        payload=f'{{"name":"{name}"}}' if payload is None else payload,
        identity=identity(kind, name, ""),
        key=key,
        label=label,
        tags=tags or {},
        group=group,
        priority=priority,
        max_retries=max_retries,
        options=options,
        created_at_ms=created_at_ms,
        ready_at_ms=created_at_ms if due_at_ms is None else due_at_ms,
        due_at_ms=due_at_ms,
        run_at_ms=due_at_ms,
        parent=parent,
        inherits_tags=inherits_tags,
        requeue=requeue,
        on_duplicate=on_duplicate,
        unique_for_ms=unique_for_ms,
        expires_at_ms=expires_at_ms,
        ttl_ms=ttl_ms,
        has_ttl=has_ttl,
        fail_fast=fail_fast,
        max_interruptions=max_interruptions,
        depends_on=tuple(depends_on),
        on_dependency_failure=on_dependency_failure,
    )


# --- one verb at a time --------------------------------------------------------------------------


def expect(effect: Effect | StoreError, kind: type[T]) -> T:
    """``effect``, which must be of ``kind``."""
    assert isinstance(effect, kind), effect
    return effect


async def apply_one(store: Store, change: Change) -> Effect | StoreError:
    """What came of a batch of one."""
    [effect] = await store.apply([change])
    return effect


async def submit(store: Store, *tasks: NewTask) -> list[Placed]:
    """Where ``tasks``, submitted in one change, went."""
    effect = await apply_one(store, Submit(tasks))
    assert isinstance(effect, tuple), effect
    return list(effect)


async def submit_one(store: Store, task: NewTask) -> TaskId:
    """The id of a task that was submitted alone."""
    [placed] = await submit(store, task)
    return placed.id


async def refusal(store: Store, *tasks: NewTask) -> Refused:
    """Why ``tasks``, submitted in one change, were refused."""
    return expect(await apply_one(store, Submit(tasks)), Refused)


async def claim(
    store: Store, task: TaskId, *, now_ms: int = T0, has_undo: bool = False
) -> TaskRecord:
    """The record of a task that was claimed."""
    return expect(await apply_one(store, Claim(task, now_ms, has_undo)), TaskRecord)


async def start(store: Store, task: NewTask, *, has_undo: bool = False) -> TaskRecord:
    """The record of a task that was submitted and claimed."""
    now_ms = task.created_at_ms
    return await claim(store, await submit_one(store, task), now_ms=now_ms, has_undo=has_undo)


async def end(store: Store, record: TaskRecord, result: Result, *, now_ms: int = T0) -> Settled:
    """Settle the run that ``record`` describes."""
    return expect(await apply_one(store, settle(record, result, now_ms=now_ms)), Settled)


async def complete(store: Store, record: TaskRecord) -> Settled:
    """Settle the run that ``record`` describes as completed."""
    return await end(store, record, Returned("null"))


async def cancel(
    store: Store,
    task: TaskId,
    *,
    domain: str | None = None,
    reason: str | None = None,
    now_ms: int = T0,
) -> Effect | StoreError:
    """What came of a cancel."""
    change = CancelTask(id=task, domain=domain, reason=reason, now_ms=now_ms)
    return await apply_one(store, change)


async def stop(store: Store, task: TaskId, *, now_ms: int = T0) -> Changed:
    """What a cancel of a task that is there did."""
    return expect(await cancel(store, task, now_ms=now_ms), Changed)


def told_to_stop(record: TaskRecord, *, reason: str = "cancelled while running") -> Changed:
    """What the cancel of a running task does."""
    after = attrs.evolve(record, ends_as=TaskStatus.CANCELLED, reason=reason)
    return Changed(named=(record.id,), moves=(Move(record, after),))


def released(effect: Settled | Changed) -> TaskRecord:
    """The one task that the end of another one released."""
    [record] = [move.after for move in effect.moves if move.before.status is TaskStatus.BLOCKED]
    assert record.status is TaskStatus.PENDING
    return record


def moved(effect: Settled | Changed | Placed | Swept) -> dict[TaskId, TaskStatus]:
    """Where each task that was changed is now."""
    return {move.after.id: move.after.status for move in effect.moves}


async def statuses(store: Store, *tasks: TaskId) -> list[TaskStatus]:
    """Where each of these tasks is."""
    return [(await record_of(store, task)).status for task in tasks]


async def pause(
    store: Store,
    scope: PauseScope,
    name: str = "",
    *,
    now_ms: int = T0,
    until_ms: int | None = None,
) -> PauseRecord:
    """The pause that holds now."""
    change = Pause(scope=scope, name=name, now_ms=now_ms, until_ms=until_ms)
    return expect(await apply_one(store, change), PauseRecord)


async def resume(
    store: Store, scope: PauseScope, name: str = "", *, now_ms: int = T0
) -> Effect | StoreError:
    """What came of a resume."""
    return await apply_one(store, Resume(scope=scope, name=name, now_ms=now_ms))


async def record_of(store: Store, task: TaskId) -> TaskRecord:
    """The record of a task that must be there."""
    record = await store.get(task)
    assert record is not None
    return record


def failure(run: int, *, message: str = "broken", at_ms: int = T0) -> ErrorRecord:
    """How a run failed."""
    return ErrorRecord(
        type="OSError", message=message, traceback="Traceback\n", run=run, at=from_ms(at_ms)
    )


def raised(run: int, *, delay_ms: int | None = 0, max_retries: int = 100) -> Raised:
    """A run that raised; ``delay_ms=None`` is an error that is never retried."""
    delay = None if delay_ms is None else timedelta(milliseconds=delay_ms)
    return Raised(error=failure(run, message=f"run {run}"), max_retries=max_retries, delay=delay)


def unstorable(record: TaskRecord) -> Settlement:
    """A settlement that no database may take: a failure with a result and no reason."""
    completed = settle(record, Returned("1"), now_ms=T0)
    failed = settle(record, raised(record.run, delay_ms=None), now_ms=T0)
    return attrs.evolve(completed, status=failed.status)


async def run(store: Store, task: TaskId, result: Result, *, now_ms: int = T0) -> Settled:
    """What one more run of a task did, which ended like this."""
    return await end(store, await claim(store, task, now_ms=now_ms), result, now_ms=now_ms)


async def fail(store: Store, task: TaskId, *, now_ms: int = T0) -> Settled:
    """What one more run of a task did, which failed for good."""
    record = await claim(store, task, now_ms=now_ms)
    return await end(store, record, raised(record.run, delay_ms=None), now_ms=now_ms)


async def revive(store: Store, task: TaskId, *, now_ms: int = T0) -> Effect | StoreError:
    """What came of reviving a task."""
    return await apply_one(store, Revive(id=task, domain=None, now_ms=now_ms))


async def revived(store: Store, task: TaskId, *, now_ms: int = T0) -> TaskRecord:
    """The record of a task that was revived."""
    changed = expect(await revive(store, task, now_ms=now_ms), Changed)
    assert changed.named == (task,)
    return await record_of(store, task)


async def settle_all(store: Store, tasks: Sequence[TaskId]) -> None:
    """Run each of these tasks once, to its end; two batches for all of them."""
    claimed = await store.apply([Claim(task, T0) for task in tasks])
    records = [expect(record, TaskRecord) for record in claimed]
    done = await store.apply([settle(record, Returned("1"), now_ms=T0) for record in records])
    assert all(isinstance(effect, Settled) and effect.status is not None for effect in done)


async def expire(store: Store, now_ms: int, *, limit: int = 1000) -> Swept:
    """What did not start in time."""
    return expect(await apply_one(store, Expire(now_ms=now_ms, limit=limit)), Swept)


async def delete(
    store: Store, *tasks: TaskId, keep: Sequence[TaskId] = (), now_ms: int = T0
) -> int:
    """How many of these tasks were deleted."""
    meant = attrs.evolve(ANY, ids=frozenset(tasks))
    change = Delete(selection=meant, keep=frozenset(keep), now_ms=now_ms)
    return expect(await apply_one(store, change), Deleted).count
