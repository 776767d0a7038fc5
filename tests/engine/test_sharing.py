"""Rates, weights, aging, pressure, IO and preemption, as an application meets them."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest

from taskmill import (
    Aging,
    ConfigurationError,
    Context,
    Domain,
    DomainKey,
    GroupChanged,
    GroupPolicy,
    IoBudget,
    Preempted,
    Priority,
    RateLimit,
    ResourceSample,
    Scheduler,
    StopOverdue,
    Task,
    TaskId,
    TaskStatus,
    Throttle,
    UnknownDomainError,
)
from taskmill.testing import FakeClock, virtual_time
from tests.engine.app import SECOND, Errand, Nap, open_app

pytestmark = pytest.mark.anyio

MB = 1_000_000


class Play(DomainKey, name="play"): ...


class Job(Task[Play], name="job"):
    number: int
    seconds: float = 1


class Copy(Task[Play], name="copy", io=IoBudget(read=50 * MB)):
    number: int
    seconds: float = 1


class Rigid(Task[Play], name="rigid", preemptible=False):
    number: int
    seconds: float = 1


class Deaf(Task[Play], name="deaf", stop_grace=timedelta(seconds=5)):
    number: int
    seconds: float = 100


@attrs.define
class Log:
    """Who started when, and how many of each group ran at once."""

    clock: FakeClock
    starts: list[tuple[float, str | None, int]] = attrs.field(factory=list[Any])
    running: Counter[str | None] = attrs.field(factory=Counter[str | None])
    most: Counter[str | None] = attrs.field(factory=Counter[str | None])

    def times(self) -> list[float]:
        return [round(at, 3) for at, _, _ in self.starts]

    def numbers(self) -> list[int]:
        return [number for _, _, number in self.starts]

    async def play(self, group: str | None, number: int, seconds: float) -> None:
        self.starts.append((self.clock.monotonic(), group, number))
        self.running[group] += 1
        self.most[group] = max(self.most[group], self.running[group])
        try:
            await anyio.sleep(seconds)
        finally:
            self.running[group] -= 1


@Job.handler
async def job(task: Job, ctx: Context[Play]) -> None:
    await ctx.state(Log).play(ctx.record.group, task.number, task.seconds)


@Copy.handler
async def copy(task: Copy, ctx: Context[Play]) -> None:
    await ctx.state(Log).play(ctx.record.group, task.number, task.seconds)


@Rigid.handler
async def rigid(task: Rigid, ctx: Context[Play]) -> None:
    await ctx.state(Log).play(ctx.record.group, task.number, task.seconds)


@Deaf.handler
async def deaf(task: Deaf, ctx: Context[Play]) -> None:
    with anyio.CancelScope(shield=True):
        await anyio.sleep(task.seconds)


@attrs.frozen
class Yard:
    scheduler: Scheduler
    log: Log
    clock: FakeClock

    async def submit(self, task: Task[Play, Any], **options: Any) -> TaskId:
        return (await self.scheduler.submit(task, **options)).id

    async def fill(self, count: int, group: str, seconds: float = 1, **options: Any) -> None:
        first = 1_000_000 * (1 + ord(group))
        jobs = [Job(number=first + n, seconds=seconds) for n in range(count)]
        await self.scheduler.submit_many(jobs, group=group, **options)


@asynccontextmanager
async def yard(path: str = ":memory:", **options: Any) -> AsyncGenerator[Yard]:
    async with virtual_time() as clock:
        log = Log(clock)
        domain = Domain(Play, handlers=[job, copy, rigid, deaf], state=[log])
        async with Scheduler(path, domains=[domain], clock=clock, **options) as scheduler:
            yield Yard(scheduler, log, clock)


# --- rates


async def test_a_type_starts_no_faster_than_its_rate() -> None:
    async with yard(rates={Job: RateLimit(2, per=SECOND)}) as y:
        await y.scheduler.submit_many([Job(number=n, seconds=0) for n in range(6)])
        await y.scheduler.idle()
        assert y.log.times() == [0, 0, 0.5, 1, 1.5, 2]


async def test_one_bucket_serves_its_tasks_over_many_groups_by_priority() -> None:
    async with yard(rates={Job: RateLimit(1, per=SECOND)}) as y:
        for n in range(50):
            await y.submit(Job(number=n, seconds=0), group=f"g{n}", priority=200 - n)
        await y.scheduler.idle()
        assert y.log.numbers() == [0, *range(49, 0, -1)]
        assert y.log.times() == list(range(50))


async def test_a_group_starts_no_faster_than_its_rate_and_holds_nobody_else() -> None:
    async with yard(groups={"slow": GroupPolicy(rate=RateLimit(1, per=10 * SECOND))}) as y:
        for n in range(3):
            await y.submit(Job(number=n, seconds=0), group="slow", priority=0)
        for n in range(3, 6):
            await y.submit(Job(number=n, seconds=0))
        await y.scheduler.idle()
        assert sorted(zip(y.log.times(), y.log.numbers(), strict=True)) == [
            (0, 0), (0, 3), (0, 4), (0, 5), (10, 1), (20, 2),
        ]  # fmt: skip


async def test_no_token_of_one_bucket_is_lost_to_the_refusal_of_the_other() -> None:
    groups = {"slow": GroupPolicy(rate=RateLimit(1, per=100 * SECOND))}
    async with yard(groups=groups, rates={Job: RateLimit(4, per=1000 * SECOND)}) as y:
        for n in range(3):
            await y.submit(Job(number=n, seconds=0), group="slow", priority=0)
        await anyio.sleep(1)
        for n in range(3, 6):
            await y.submit(Job(number=n, seconds=0), group="fast")
        await anyio.sleep(1)
        assert y.log.numbers() == [0, 3, 4, 5]


async def test_a_rate_that_is_raised_or_cleared_holds_for_what_waits_already() -> None:
    async with yard(rates={Job: RateLimit(1, per=1000 * SECOND)}) as y:
        for n in range(6):
            await y.submit(Job(number=n, seconds=0))
        await anyio.sleep(1)
        assert y.log.numbers() == [0]
        y.scheduler.set_rate(Job, RateLimit(1, per=SECOND))
        await anyio.sleep(2.5)
        assert y.log.numbers() == [0, 1, 2]
        y.scheduler.set_rate(Job, None)
        await y.scheduler.idle()
        assert y.log.times()[3:] == [3.5, 3.5, 3.5]


async def test_idle_waits_for_tokens() -> None:
    async with yard(rates={Job: RateLimit(1, per=60 * SECOND)}) as y:
        for n in range(3):
            await y.submit(Job(number=n, seconds=0))
        await y.scheduler.idle()
        assert y.clock.monotonic() == pytest.approx(120, abs=0.01)


# --- caps at run time


async def test_a_cap_that_is_raised_or_lowered_holds_from_the_next_start() -> None:
    async with yard(max_concurrency=2) as y:
        await y.fill(40, "a", seconds=10)
        await anyio.sleep(5)
        assert y.log.running.total() == 2
        y.scheduler.set_max_concurrency(8)
        await anyio.sleep(1)
        assert y.log.running.total() == 8
        y.scheduler.set_max_concurrency(1)
        await anyio.sleep(1)
        assert y.log.running.total() == 8
        await anyio.sleep(10)
        assert y.log.running.total() == 1


async def test_the_cap_of_a_domain_or_group_changes_for_what_waits_already() -> None:
    groups = {"a": GroupPolicy(max_concurrency=1)}
    async with yard(groups=groups) as y, y.scheduler.events() as events:
        play = y.scheduler.domain(Play)
        await y.fill(20, "a", seconds=100)
        await anyio.sleep(1)
        assert y.log.running["a"] == 1
        y.scheduler.set_group("a", GroupPolicy(max_concurrency=5))
        await anyio.sleep(1)
        assert y.log.running["a"] == 5
        play.set_max_concurrency(7)
        y.scheduler.set_group("a", GroupPolicy())
        await anyio.sleep(1)
        assert (y.log.running["a"], play.max_concurrency) == (7, 7)
        play.set_max_concurrency(None)
        await anyio.sleep(1)
        assert y.log.running["a"] == 16
        changes = [event async for event in _some(events) if isinstance(event, GroupChanged)]
        caps = [(event.before.max_concurrency, event.after.max_concurrency) for event in changes]
        assert caps == [(1, 5), (5, None)]


@pytest.mark.parametrize("cap", [0, -1, True, 2.5, None])
async def test_a_cap_that_cannot_be_meant_is_refused(cap: Any) -> None:
    async with yard() as y:
        with pytest.raises(ConfigurationError, match="max_concurrency"):
            y.scheduler.set_max_concurrency(cap)


# --- shares


async def test_groups_share_the_slots_by_their_weights_from_the_first_fill_on() -> None:
    groups = {"a": GroupPolicy(weight=3), "b": GroupPolicy(weight=1)}
    async with yard(max_concurrency=8, groups=groups) as y:
        await y.scheduler.pause()
        await y.fill(200, "b")
        await y.fill(200, "a")
        await y.scheduler.resume()
        for _ in range(10):
            await anyio.sleep(1)
            assert (y.log.running["a"], y.log.running["b"]) == (6, 2)
        assert (y.log.most["a"], y.log.most["b"]) == (6, 2)


async def test_minimum_slots_come_before_weights() -> None:
    groups = {"a": GroupPolicy(weight=100), "b": GroupPolicy(min_slots=3)}
    async with yard(max_concurrency=8, groups=groups) as y:
        await y.fill(100, "a")
        await anyio.sleep(0.5)
        await y.fill(100, "b")
        await anyio.sleep(0.6)
        assert (y.log.running["a"], y.log.running["b"]) == (5, 3)


async def test_weights_can_be_set_and_changed_while_tasks_run() -> None:
    async with yard(max_concurrency=8) as y:
        await y.fill(400, "a")
        await y.fill(400, "b")
        await anyio.sleep(2.5)
        assert y.log.running["b"] == 0
        y.scheduler.set_group("b", GroupPolicy(weight=7))
        await anyio.sleep(10)
        assert (y.log.running["a"], y.log.running["b"]) == (1, 7)
        y.scheduler.set_group("b", GroupPolicy(weight=1))
        y.scheduler.set_group("a", GroupPolicy(weight=3))
        await anyio.sleep(3)
        assert (y.log.running["a"], y.log.running["b"]) == (6, 2)


# --- aging


async def test_waiting_makes_urgent_as_the_formula_says() -> None:
    aging = Aging(grace=10 * SECOND, step=SECOND, ceiling=Priority.HIGH)
    async with yard(max_concurrency=1, aging=aging) as y:
        await y.submit(Job(number=0, seconds=50))
        old = await y.submit(Job(number=1), priority=Priority.NORMAL)
        await anyio.sleep(30)
        play = y.scheduler.domain(Play)
        assert (await play.get(old)).effective_priority == Priority.NORMAL - 20
        await y.submit(Job(number=2), priority=Priority.NORMAL - 30)
        await y.submit(Job(number=3), priority=Priority.NORMAL - 41)
        await y.submit(Job(number=4), priority=Priority.NORMAL - 29)
        await y.scheduler.idle()
        assert y.log.numbers() == [0, 3, 1, 2, 4]


async def test_aging_never_makes_anything_less_urgent() -> None:
    aging = Aging(grace=timedelta(0), step=SECOND, ceiling=Priority.NORMAL)
    async with yard(max_concurrency=1, aging=aging, preempt_at=None) as y:
        await y.submit(Job(number=0, seconds=1000))
        await y.submit(Job(number=1), priority=Priority.IDLE)
        await anyio.sleep(500)
        await y.submit(Job(number=2), priority=Priority.HIGH)
        await y.scheduler.idle()
        assert y.log.numbers() == [0, 2, 1]


async def test_time_under_a_pause_does_not_make_anybody_older(tmp_path: Path) -> None:
    aging = Aging(grace=timedelta(0), step=SECOND, ceiling=0)
    path = str(tmp_path / "app.db")
    async with yard(path, aging=aging) as y:
        play = y.scheduler.domain(Play)
        await play.pause_group("a")
        old = await y.submit(Job(number=1), group="a")
        await anyio.sleep(50)
        assert (await play.get(old)).effective_priority == Priority.NORMAL
        y.scheduler.set_group("a", GroupPolicy(rate=RateLimit(1, per=10_000 * SECOND)))
        await y.submit(Job(number=0), group="a", priority=0)
        await play.resume_group("a")
        await anyio.sleep(20)
        assert (await play.get(old)).effective_priority == Priority.NORMAL - 20
        await y.scheduler.pause()
    async with yard(path, aging=aging) as y:
        record = await y.scheduler.domain(Play).get(old)
        assert record.status is TaskStatus.PAUSED


async def test_a_child_is_as_urgent_as_its_parent_had_become() -> None:
    class Family(DomainKey, name="family"): ...

    class Child(Task[Family], name="child"):
        number: int = 0

    class Fixed(Task[Family], name="fixed", priority=Priority.IDLE): ...

    class Parent(Task[Family, list[int]], name="parent"): ...

    @Parent.handler
    async def parent(task: Parent, ctx: Context[Family]) -> list[int]:
        plain = await ctx.spawn(Child())
        fixed = await ctx.spawn(Fixed())
        told = await ctx.spawn(Child(number=1), priority=200)
        family = ctx.domain(Family)
        return [(await family.get(one.id)).priority for one in (plain, fixed, told)]

    @Child.handler
    async def child(task: Child, ctx: Context[Family]) -> None: ...

    @Fixed.handler
    async def fixed(task: Fixed, ctx: Context[Family]) -> None: ...

    async with virtual_time() as clock:
        domain = Domain(Family, handlers=[parent, child, fixed])
        aging = Aging(grace=timedelta(0), step=SECOND)
        async with Scheduler(":memory:", domains=[domain], clock=clock, aging=aging) as s:
            await s.pause()
            urgent = await s.submit(Parent(), priority=70)
            await s.resume()
            assert await s.result(urgent) == [70, 255, 200]


# --- pressure


@attrs.define
class Gauge:
    level: float = 0.0
    name: str = "gauge"
    readings: int = 0

    def pressure(self) -> float:
        self.readings += 1
        if self.level < 0:
            raise OSError("the gauge is broken")
        return self.level


async def test_pressure_holds_what_is_less_urgent_and_lets_it_go_again() -> None:
    gauge = Gauge(0.6)
    async with yard(pressure=[gauge]) as y:
        await y.submit(Job(number=1, seconds=0), priority=Priority.BACKGROUND)
        await y.submit(Job(number=2, seconds=0), priority=Priority.NORMAL)
        await anyio.sleep(5.5)
        assert y.log.numbers() == [2]
        gauge.level = 0.76
        await anyio.sleep(2)
        await y.submit(Job(number=3, seconds=0), priority=Priority.NORMAL)
        await y.submit(Job(number=4, seconds=0), priority=Priority.NORMAL - 1)
        await anyio.sleep(5)
        assert y.log.numbers() == [2, 4]
        gauge.level = 0.75
        await anyio.sleep(2)
        assert y.log.numbers() == [2, 4, 3]
        gauge.level = 0.5
        await y.scheduler.idle()
        assert y.log.numbers() == [2, 4, 3, 1]


async def test_nobody_reads_a_gauge_while_nothing_waits() -> None:
    gauge = Gauge(0.9)
    async with yard(pressure=[gauge]) as y:
        await anyio.sleep(1000)
        assert gauge.readings <= 1
        await y.submit(Job(number=1, seconds=0))
        await anyio.sleep(10)
        assert 9 <= gauge.readings <= 13


async def test_the_highest_source_counts_and_a_broken_one_does_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    low, broken = Gauge(0.1, name="low"), Gauge(-1, name="broken")
    async with yard(pressure=[low, broken], throttle=Throttle({0: 0.5})) as y:
        await y.submit(Job(number=1, seconds=0))
        await anyio.sleep(3)
        assert y.log.numbers() == [1]
        low.level = 0.9
        await anyio.sleep(3)
        await y.submit(Job(number=2, seconds=0))
        await anyio.sleep(3)
        assert y.log.numbers() == [1]
        low.level = 0
        await y.scheduler.idle()
    assert [r.message for r in caplog.records].count(
        "pressure source 'broken' cannot be read; it counts as 0"
    ) == 1


@attrs.define
class Machine:
    memory: float | None = None
    read: float | None = None

    def sample(self) -> ResourceSample:
        return ResourceSample(
            cpu=None, memory=self.memory, read=self.read, written=None, received=None, sent=None
        )


async def test_what_resources_measure_is_pressure() -> None:
    machine = Machine(memory=0.9)
    async with yard(resources=machine, io_capacity=IoBudget(read=100 * MB)) as y:
        await y.submit(Job(number=1, seconds=0))
        await anyio.sleep(2)
        assert y.log.numbers() == []
        machine.memory, machine.read = 0.2, 80 * MB
        await anyio.sleep(2)
        assert y.log.numbers() == []
        machine.read = 70 * MB
        await y.scheduler.idle()


# --- IO


async def test_tasks_are_planned_onto_four_fifths_of_the_capacity() -> None:
    async with yard(io_capacity=IoBudget(read=200 * MB)) as y:
        for n in range(9):
            await y.submit(Copy(number=n, seconds=10))
        await y.submit(Job(number=100, seconds=0))
        await anyio.sleep(1)
        assert y.log.running.total() == 3
        assert 100 in y.log.numbers()
        await y.scheduler.idle()
        assert y.log.times().count(10) == 3


async def test_where_nothing_runs_any_task_is_admitted() -> None:
    async with yard(io_capacity=IoBudget(read=MB)) as y:
        for n in range(3):
            await y.submit(Copy(number=n, seconds=10))
        await y.scheduler.idle()
        assert y.log.times() == [0, 10, 20]


async def test_without_a_capacity_budgets_hold_nothing() -> None:
    async with yard(io_capacity=IoBudget(written=MB)) as y:
        for n in range(9):
            await y.submit(Copy(number=n, seconds=10))
        await anyio.sleep(1)
        assert y.log.running.total() == 9


# --- preemption


async def test_an_urgent_task_takes_the_slot_of_the_least_urgent_one_that_started_last() -> None:
    async with yard(max_concurrency=3) as y, y.scheduler.events(Job) as events:
        first = await y.submit(Job(number=1, seconds=50), priority=Priority.IDLE)
        await y.submit(Job(number=2, seconds=50), priority=Priority.NORMAL)
        await anyio.sleep(1)
        last = await y.submit(Job(number=3, seconds=50), priority=Priority.IDLE)
        await anyio.sleep(9)
        urgent = await y.submit(Job(number=4, seconds=5), priority=Priority.REALTIME)
        play = y.scheduler.domain(Play)
        assert (await play.wait(urgent)).duration == 5 * SECOND
        record = await play.get(last)
        assert (record.preemptions, record.attempt) in [(1, 0), (1, 1)]
        assert (await play.get(first)).preemptions == 0
        await y.scheduler.idle()
        assert y.log.numbers() == [1, 2, 3, 4, 3]
        assert y.clock.monotonic() == 15 + 50
        preempted = [event.id async for event in _some(events) if isinstance(event, Preempted)]
        assert preempted == [last]


async def test_nothing_is_preempted_while_slots_are_free() -> None:
    async with yard(max_concurrency=3) as y:
        await y.submit(Job(number=1, seconds=50), priority=Priority.IDLE)
        await y.submit(Job(number=2, seconds=50), priority=Priority.IDLE)
        await anyio.sleep(1)
        await y.submit(Job(number=3, seconds=5), priority=Priority.REALTIME)
        await y.scheduler.idle()
        assert y.log.numbers() == [1, 2, 3]


async def test_no_more_are_preempted_than_urgent_tasks_wait() -> None:
    async with yard(max_concurrency=8) as y:
        for n in range(8):
            await y.submit(Job(number=n, seconds=50), priority=Priority.IDLE)
        await anyio.sleep(1)
        for n in range(100, 103):
            await y.submit(Job(number=n, seconds=5), priority=Priority.REALTIME)
        await anyio.sleep(1)
        assert y.log.numbers()[8:] == [100, 101, 102]
        assert y.log.running.total() == 8
        await y.scheduler.idle()
        assert y.log.most.total() == 8


async def test_an_urgent_task_that_something_else_holds_preempts_nobody() -> None:
    async with yard(max_concurrency=2) as y:
        for n in range(2):
            await y.submit(Job(number=n, seconds=50), priority=Priority.IDLE)
        await anyio.sleep(1)
        await y.scheduler.pause_group("held")
        await y.submit(Job(number=2), priority=0, group="held")
        await y.submit(Job(number=3), priority=0, delay=30 * SECOND)
        await anyio.sleep(20)
        assert y.log.running.total() == 2
        assert y.log.numbers() == [0, 1]


async def test_room_is_made_behind_the_cap_of_a_group() -> None:
    groups = {"a": GroupPolicy(max_concurrency=1)}
    async with yard(max_concurrency=3, groups=groups) as y:
        await y.submit(Job(number=1, seconds=50), group="a", priority=100)
        await y.submit(Job(number=2, seconds=50), priority=255)
        await anyio.sleep(1)
        await y.submit(Job(number=3, seconds=5), group="a", priority=0)
        await anyio.sleep(1)
        assert y.log.numbers() == [1, 2, 3]
        assert y.log.most["a"] == 1


async def test_what_is_not_preemptible_or_was_preempted_too_often_is_left_alone() -> None:
    async with yard(max_concurrency=1, max_preemptions=2) as y:
        await y.submit(Rigid(number=1, seconds=10), priority=255)
        await anyio.sleep(1)
        await y.submit(Job(number=2, seconds=1), priority=0)
        await anyio.sleep(3)
        assert y.log.numbers() == [1]
        await y.scheduler.idle()
        await y.submit(Job(number=3, seconds=10), priority=255)
        for n in range(4, 7):
            await anyio.sleep(2)
            await y.submit(Job(number=n, seconds=1), priority=0)
        await y.scheduler.idle()
        assert y.log.numbers() == [1, 2, 3, 4, 3, 5, 3, 6]


async def test_preemption_can_be_turned_off_or_begin_at_another_priority() -> None:
    for preempt_at, order in ((None, [1, 2]), (Priority.HIGH, [1, 2, 1])):
        async with yard(max_concurrency=1, preempt_at=preempt_at) as y:
            await y.submit(Job(number=1, seconds=10))
            await anyio.sleep(1)
            await y.submit(Job(number=2, seconds=1), priority=Priority.HIGH)
            await y.scheduler.idle()
            assert y.log.numbers() == order


async def test_a_victim_that_does_not_stop_keeps_its_slot_and_another_is_chosen() -> None:
    async with yard(max_concurrency=2) as y, y.scheduler.events(Deaf) as events:
        await y.submit(Job(number=1, seconds=200), priority=100)
        await anyio.sleep(1)
        stuck = await y.submit(Deaf(number=2), priority=200)
        await anyio.sleep(1)
        urgent = await y.submit(Job(number=3, seconds=1), priority=0)
        await anyio.sleep(4)
        explanation = await y.scheduler.explain(urgent)
        assert "One of these will stop soon" in explanation.sentence
        await anyio.sleep(2)
        assert y.log.numbers() == [1, 3]
        assert y.clock.monotonic() == 8
        overdue = [e.id async for e in _some(events) if isinstance(e, StopOverdue)]
        assert overdue == [stuck]
        later = await y.submit(Rigid(number=4))
        explanation = await y.scheduler.explain(later)
        assert f"Task {stuck} (play::deaf) was told to stop, has not in time" in str(explanation)


async def _some(events: Any) -> AsyncGenerator[Any]:
    with anyio.move_on_after(0.1):
        async for event in events:
            yield event


# --- configuration


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: RateLimit(0), "permits"),
        (lambda: RateLimit(1, per=timedelta(0)), "per must be more than zero"),
        (lambda: RateLimit(1, burst=0), "burst"),
        (lambda: GroupPolicy(weight=0), "weight"),
        (lambda: GroupPolicy(weight=1001), "weight"),
        (lambda: GroupPolicy(min_slots=-1), "min_slots"),
        (lambda: Aging(step=timedelta(0)), "step"),
        (lambda: Aging(ceiling=64, urgent=63), "past its ceiling"),
        (lambda: Throttle({300: 0.5}), "priority"),
        (lambda: Throttle({100: 1.5}), "pressure from 0 to 1"),
        (lambda: IoBudget(read=-1), "bytes per second"),
        (lambda: IoBudget(read=float("nan")), "bytes per second"),
    ],
)
def test_what_cannot_be_meant_is_refused(make: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        make()


async def test_the_rate_of_a_type_that_is_not_mounted_is_refused() -> None:
    async with open_app() as app:
        app.other.set_rate(Errand, RateLimit(1))
        with pytest.raises(UnknownDomainError, match="play"):
            app.scheduler.set_rate(Job, RateLimit(1))
    with pytest.raises(UnknownDomainError, match="work"):
        Scheduler(":memory:", domains=[Domain(Play, handlers=[job])], rates={Nap: RateLimit(1)})
