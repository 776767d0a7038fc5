"""What is submitted while a slot is free: claimed with its submit, in one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest
from anyio.abc import TaskGroup

from taskmill import (
    GroupPolicy,
    OnDuplicate,
    RateLimit,
    Scheduler,
    SqliteStore,
    Stop,
    StoreError,
    SubmitOutcome,
    TaskStatus,
)
from taskmill.model.changes import Change, Claim, ClaimNew, Submit
from taskmill.model.effects import Effect
from taskmill.testing import virtual_time

from .app import Board, Nap, Work, domains
from .store import FailingStore

pytestmark = pytest.mark.anyio


class WatchedStore(SqliteStore):
    """A memory store that remembers which changes came together, and calls before it writes."""

    def __init__(self) -> None:
        super().__init__(":memory:")
        self.batches: list[list[type[Change]]] = []
        self.fails = False
        self.before: Callable[[], None] = lambda: None

    async def apply(self, changes: Sequence[Change]) -> list[Effect | StoreError]:
        self.batches.append([type(change) for change in changes])
        self.before()
        if self.fails:
            raise StoreError("told to")
        return await super().apply(changes)

    def taken(self) -> list[list[type[Change]]]:
        """The batches since the last call."""
        taken, self.batches = self.batches, []
        return taken


@attrs.frozen
class Mill:
    store: WatchedStore
    scheduler: Scheduler
    board: Board

    async def submit(self, name: str, seconds: float = 0, **options: Any) -> SubmitOutcome:
        nap = Nap(name=name, seconds=seconds)
        return (await self.scheduler.submit(nap, **options)).outcome


@asynccontextmanager
async def mill(**options: Any) -> AsyncGenerator[Mill]:
    board, store = Board(), WatchedStore()
    async with virtual_time() as clock:
        scheduler = Scheduler(
            store=store, domains=domains(board), clock=clock, loop_limit=None, **options
        )
        async with scheduler:
            await scheduler.idle()
            store.taken()
            yield Mill(store, scheduler, board)


def meanwhile(
    group: TaskGroup, *verbs: Callable[[], Coroutine[Any, Any, Any]]
) -> Callable[[], None]:
    """Begin one of ``verbs`` after the other, each while a batch is written."""
    left = [*verbs]

    def begin() -> None:
        if left:
            group.start_soon(left.pop(0))

    return begin


async def test_a_task_that_may_start_is_on_record_as_running_when_its_submit_returns() -> None:
    async with mill() as m:
        submitted = await m.scheduler.submit(Nap(name="a", seconds=1))
        record = await m.scheduler.domain(Work).get(submitted.id)
        assert (record.status, record.run) == (TaskStatus.RUNNING, 1)
        assert m.store.taken() == [[Submit, ClaimNew]]
        await m.scheduler.idle()
        assert m.board.stopped == ["a"]
        assert all(ClaimNew not in batch for batch in m.store.taken())


async def test_where_more_comes_than_can_start_it_is_decided_when_all_of_it_is_there() -> None:
    async with mill(max_concurrency=1) as m, anyio.create_task_group() as together:
        for name, priority in (("low", 200), ("high", 10), ("middle", 100)):
            together.start_soon(partial(m.submit, name, 1, priority=priority))
        await anyio.sleep(0.5)
        assert m.store.taken() == [[Submit, Submit, Submit], [Claim]]
        await m.scheduler.idle()
        assert m.board.started == ["high", "middle", "low"]


async def test_what_comes_together_and_has_room_begins_together() -> None:
    async with mill(max_concurrency=3) as m, anyio.create_task_group() as together:
        for name in "abc":
            together.start_soon(m.submit, name, 1)
        await anyio.sleep(0.5)
        assert m.store.taken() == [[Submit, Submit, Submit, ClaimNew, ClaimNew, ClaimNew]]
        await m.scheduler.idle()
        assert sorted(m.board.started) == ["a", "b", "c"]


async def test_groups_that_come_together_have_their_shares() -> None:
    groups = {"a": GroupPolicy(weight=1), "b": GroupPolicy(weight=3)}
    async with mill(max_concurrency=1, groups=groups) as m:
        async with anyio.create_task_group() as together:
            for group in groups:
                for number in range(100):
                    together.start_soon(partial(m.submit, f"{group}{number}", 0.01, group=group))
        await m.scheduler.idle()
        first = [name[0] for name in m.board.started[:100]]
        assert (first.count("a"), first.count("b")) == (25, 75)


@pytest.mark.parametrize("gate", ["slots", "rate"])
async def test_submits_that_make_no_task_keep_nobody_waiting(gate: str) -> None:
    rates = {Nap: RateLimit(2, per=timedelta(hours=1))} if gate == "rate" else {}
    async with mill(max_concurrency=2 if gate == "slots" else 3, rates=rates) as m:
        await m.submit("a", 1000)
        submits = 0

        async def storm() -> None:
            nonlocal submits
            while "low" not in m.board.started and submits < 100:
                submits += 1
                await m.submit("a", 1000, priority=10, on_duplicate=OnDuplicate.REJECT)

        async with anyio.create_task_group() as clients:
            low = partial(m.submit, "low", 1, priority=200)
            m.store.before = meanwhile(clients, storm, low)
            clients.start_soon(storm)
        assert submits < 20
        assert "low" in m.board.started


async def test_a_submit_that_makes_no_task_gets_nobody_preempted() -> None:
    async with mill(max_concurrency=2, preempt_at=64) as m, anyio.create_task_group() as beside:
        await m.submit("victim", 100, priority=250)
        again = partial(m.submit, "victim", 100, priority=0, on_duplicate=OnDuplicate.REJECT)
        await m.submit("urgent", 1, priority=60, delay=timedelta(seconds=1))
        m.store.before = meanwhile(beside, again)
        await anyio.sleep(1.5)
        assert m.board.started == ["victim", "urgent"]
        assert m.board.stopped == []


async def test_what_waits_behind_a_suspect_goes_on_when_that_is_put_off(tmp_path: Path) -> None:
    path, board = tmp_path / "app.db", Board()
    options: dict[str, Any] = {"loop_limit": None, "poll_interval": timedelta(hours=1)}
    async with (
        virtual_time() as clock,
        Scheduler(path, domains=domains(board), clock=clock, **options) as scheduler,
    ):
        await scheduler.submit(Nap(name="suspect"), delay=timedelta(days=1))
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE taskmill_tasks SET stage = 4, due_at_ms = due_at_ms - 86400000")
    async with (
        virtual_time() as clock,
        Scheduler(
            path, domains=domains(board), clock=clock, max_concurrency=2, shutdown=Stop(), **options
        ) as scheduler,
    ):
        await scheduler.pause()
        await anyio.sleep(1)
        await scheduler.submit(Nap(name="long", seconds=100), priority=0)
        await scheduler.submit(Nap(name="other", seconds=1), priority=200)
        await scheduler.resume()
        await anyio.sleep(5)
        assert board.started == ["long"]
        suspect, hour = Nap(name="suspect"), timedelta(hours=1)
        await scheduler.submit(suspect, on_duplicate=OnDuplicate.SUPERSEDE, delay=hour)
        await anyio.sleep(1)
        assert board.started == ["long", "other"]


async def test_what_waits_already_goes_before_what_comes_with_the_slot_that_it_waited_for() -> None:
    async with mill(max_concurrency=1) as m:
        await m.submit("first", 1)
        await m.submit("second", 1)
        m.store.taken()
        await anyio.sleep(1)
        await m.submit("third", 1)
        await m.scheduler.idle()
        assert m.board.started == ["first", "second", "third"]


@pytest.mark.parametrize("closed", ["slots", "pause", "rate", "time", "need", "stop"])
async def test_what_may_not_start_is_submitted_alone(closed: str) -> None:
    rates: dict[type[Any], RateLimit] = {}
    if closed == "rate":
        rates[Nap] = RateLimit(1, per=timedelta(seconds=10))
    async with mill(max_concurrency=2, rates=rates, shutdown=Stop()) as m:
        options: dict[str, Any] = {}
        if closed in ("slots", "rate"):
            await m.submit("x", 5)
        if closed == "slots":
            await m.submit("y", 5)
        if closed == "pause":
            await m.scheduler.pause()
        if closed == "time":
            options["delay"] = timedelta(seconds=1)
        if closed == "need":
            options["depends_on"] = [(await m.scheduler.submit(Nap(name="need", seconds=1))).id]
        m.store.taken()
        if closed == "stop":
            async with anyio.create_task_group() as beside:
                beside.start_soon(m.submit, "a")
                m.scheduler.stop()
        else:
            await m.submit("a", **options)
        assert m.store.taken()[0] == [Submit]
        if closed == "pause":
            await m.scheduler.resume()
        if closed != "stop":
            await anyio.sleep(30)
            assert m.board.started.count("a") == 1


async def test_a_submit_that_makes_no_task_gives_back_the_slot_and_the_token() -> None:
    limit = RateLimit(2, per=timedelta(hours=1))
    async with mill(max_concurrency=2, rates={Nap: limit}) as m:
        await m.submit("a", 5)
        for _ in range(5):
            again = await m.submit("a", 5, on_duplicate=OnDuplicate.REJECT)
            assert again is SubmitOutcome.REJECTED
        assert m.store.taken()[1] == [Submit, ClaimNew]
        await m.submit("b", 5)
        assert m.store.taken()[-1] == [Submit, ClaimNew]
        await anyio.sleep(1)
        assert m.board.started == ["a", "b"]
        await m.scheduler.idle()


async def test_the_same_work_submitted_twice_at_once_runs_once() -> None:
    async with mill() as m:
        outcomes: list[SubmitOutcome] = []

        async def submit() -> None:
            outcomes.append(await m.submit("a", 1))

        async with anyio.create_task_group() as together:
            for _ in range(3):
                together.start_soon(submit)
        assert outcomes == [SubmitOutcome.INSERTED, *[SubmitOutcome.DUPLICATE] * 2]
        await m.scheduler.idle()
        assert m.board.started == ["a"]


async def test_a_submit_that_fails_leaves_the_slot_free() -> None:
    async with mill(max_concurrency=1) as m:
        m.store.fails = True
        with pytest.raises(StoreError):
            await m.submit("a")
        m.store.fails = False
        await m.submit("b", 1)
        await m.scheduler.idle()
        assert m.board.started == ["b"]


async def test_a_claim_that_is_refused_alone_is_made_later() -> None:
    store, board = FailingStore(), Board()
    store.refused_kind = ClaimNew
    async with (
        virtual_time() as clock,
        Scheduler(store=store, domains=domains(board), clock=clock) as scheduler,
    ):
        await scheduler.submit(Nap(name="a"))
        await scheduler.idle()
    assert board.started == ["a"]


async def test_a_snapshot_counts_a_task_neither_before_it_is_accepted_nor_twice() -> None:
    async with mill() as m:
        seen: list[tuple[int, int]] = []

        async def look() -> None:
            snapshot = await m.scheduler.snapshot()
            seen.append((snapshot.pending_count, len(snapshot.running)))

        async with anyio.create_task_group() as beside:
            beside.start_soon(m.submit, "a", 1)
            for _ in range(20):
                await look()
        assert {pending + running for pending, running in seen} <= {0, 1}
        assert seen[-1] == (0, 1)
        await m.scheduler.idle()
