"""explain(): for every gate, what holds a task, in order, with its figures and a sentence."""

from __future__ import annotations

import threading
from datetime import timedelta

import anyio
import pytest

from taskmill import (
    Aging,
    Context,
    Domain,
    DomainKey,
    Explanation,
    GroupPolicy,
    IoBudget,
    Priority,
    RateLimit,
    Scheduler,
    Task,
    TaskStatus,
    ThreadExecutor,
)
from taskmill.testing import START, virtual_time
from tests.engine.app import SECOND, Board, Fail, Nap, domains, open_app
from tests.engine.test_sharing import MB, Copy, Gauge, Job, Rigid, yard

pytestmark = pytest.mark.anyio


def gates(explanation: Explanation) -> list[str]:
    return [hold.gate for hold in explanation.holds]


async def test_a_task_that_is_not_due_says_when_it_will_be() -> None:
    async with open_app() as app:
        task = await app.work.submit(Nap(name="x"), delay=90 * SECOND)
        explanation = await app.work.explain(task.id)
        assert gates(explanation) == ["due"]
        assert explanation.sentence == (
            f"Task {task.id} (work::nap) is pending: "
            "It is due at 2030-01-01 00:01:30 UTC, in 1 min 30 s."
        )
        assert explanation.holds[0].figures["in"] == 90


async def test_a_task_between_attempts_says_why_and_when_it_tries_again() -> None:
    async with open_app() as app:
        task = await app.work.submit(Fail())
        await anyio.sleep(0.5)
        sentence = (await app.work.explain(task.id)).sentence
        assert "Attempt 1 failed (ValueError: no luck in run 1)" in sentence
        assert "the next one is due at 2030-01-01 00:00:01 UTC, in 0.5 s" in sentence


async def test_a_type_without_a_handler_is_named(tmp_path: object) -> None:
    path = f"{tmp_path}/app.db"
    async with open_app(path) as app:
        await app.scheduler.pause()
        task = await app.work.submit(Nap(name="x"))
    async with virtual_time() as clock:
        others = domains(Board())[1:]
        async with Scheduler(path, domains=others, clock=clock) as scheduler:
            explanation = await scheduler.explain(task.id)
            assert gates(explanation) == ["handler", "scheduler_pause"]
            assert "No domain here has a handler for 'work::nap'." in explanation.sentence


async def test_every_pause_is_told_with_its_beginning_and_its_end() -> None:
    async with open_app() as app:
        task = await app.work.submit(Nap(name="x", seconds=100), group="red")
        await app.scheduler.pause()
        await app.work.pause()
        await app.work.pause_group("red", until=START + 3600 * SECOND)
        await anyio.sleep(5)
        explanation = await app.work.explain(task.id)
        assert explanation.status is TaskStatus.PAUSED
        assert gates(explanation) == ["scheduler_pause", "domain_pause", "group_pause"]
        assert [hold.sentence for hold in explanation.holds] == [
            "The scheduler is paused since 2030-01-01 00:00:00 UTC, until it is resumed.",
            "Domain 'work' is paused since 2030-01-01 00:00:00 UTC, until it is resumed.",
            "Group 'red' is paused since 2030-01-01 00:00:00 UTC, until 2030-01-01 01:00:00 UTC.",
        ]
        assert str(explanation).count("\n") == 2


async def test_caps_say_who_uses_them_and_how_many_go_first() -> None:
    groups = {"red": GroupPolicy(max_concurrency=1)}
    async with open_app(max_concurrency=2, groups=groups, domain={"max_concurrency": 2}) as app:
        await app.work.submit(Nap(name="a", seconds=100), group="red")
        await app.work.submit(Nap(name="b", seconds=100))
        for name in ("c", "d"):
            await app.work.submit(Nap(name=name), group="red")
        waiting = await app.work.submit(Nap(name="e"), group="red")
        await anyio.sleep(7)
        explanation = await app.work.explain(waiting.id)
        assert gates(explanation) == ["global", "domain", "group"]
        first, domain, group = explanation.holds
        assert first.figures == {
            "cap": 2,
            "held": 2,
            "held_by": {"work::nap": 2},
            "overdue": (),
        }
        assert domain.sentence == "Domain 'work' uses 2 of 2 slots: work::nap 2."
        assert group.sentence == "Group 'red' uses 1 of 1 slots: work::nap 1."
        assert explanation.ahead == 2
        assert explanation.sentence == (
            f"Task {waiting.id} (work::nap) is pending, ready for 7 s: "
            "The scheduler uses 2 of 2 slots: work::nap 2. 2 tasks of its kind go first."
        )


async def test_an_executor_without_room_is_named() -> None:
    release = threading.Event()

    class Threads(DomainKey, name="threads"): ...

    class Block(Task[Threads], name="block"):
        number: int

    @Block.handler
    def block(task: Block, ctx: Context[Threads]) -> None:
        release.wait(30)

    domain = Domain(Threads, handlers=[block])
    executors = {"thread": ThreadExecutor(1)}
    async with Scheduler(":memory:", domains=[domain], executors=executors) as scheduler:
        await scheduler.submit(Block(number=1))
        waiting = await scheduler.submit(Block(number=2))
        explanation = await scheduler.explain(waiting.id)
        release.set()
        assert gates(explanation) == ["executor"]
        assert explanation.holds[0].sentence == (
            "Executor 'thread' uses 1 of 1 slots: threads::block 1."
        )


async def test_a_rate_says_when_the_next_token_comes() -> None:
    groups = {"slow": GroupPolicy(rate=RateLimit(1, per=60 * SECOND))}
    async with yard(groups=groups, rates={Job: RateLimit(1, per=10 * SECOND)}) as y:
        await y.submit(Job(number=1, seconds=0), group="slow")
        waiting = await y.submit(Job(number=2), group="slow")
        await anyio.sleep(4)
        explanation = await y.scheduler.explain(waiting)
        assert gates(explanation) == ["type_rate", "group_rate"]
        assert explanation.holds[0].sentence == (
            "Type 'play::job' may start 1 task each 10 s (burst 1) and has used them up; "
            "the next token comes in 6 s."
        )
        assert explanation.holds[1].figures["next_token_in"] == pytest.approx(56)
        assert explanation.holds[1].figures["tokens"] == pytest.approx(4 / 60)


async def test_pressure_is_told_by_source() -> None:
    gauges = [Gauge(0.9, name="disk"), Gauge(0.2, name="queue")]
    async with yard(pressure=gauges) as y:
        waiting = await y.submit(Job(number=1))
        await anyio.sleep(1)
        [hold] = (await y.scheduler.explain(waiting)).holds
        assert hold.gate == "pressure"
        assert hold.sentence == (
            "The pressure is 0.90 (disk 0.90, queue 0.20); "
            "tasks of priority 128 start at 0.75 or below."
        )
        assert hold.figures["sources"] == {"disk": 0.9, "queue": 0.2}


async def test_the_pressure_is_as_it_is_when_the_question_comes() -> None:
    gauge = Gauge(0.1)
    async with yard(pressure=[gauge], max_concurrency=1) as y:
        await y.submit(Job(number=1, seconds=1000))
        waiting = await y.submit(Job(number=2))
        await anyio.sleep(100)
        gauge.level = 0.8
        assert gates(await y.scheduler.explain(waiting)) == ["global", "pressure"]


async def test_io_is_told_by_axis() -> None:
    async with yard(io_capacity=IoBudget(read=100 * MB)) as y:
        await y.submit(Copy(number=1, seconds=10))
        waiting = await y.submit(Copy(number=2))
        await anyio.sleep(1)
        [hold] = (await y.scheduler.explain(waiting)).holds
        assert hold.gate == "io"
        assert hold.sentence == (
            "Running tasks are expected to read 50 MB/s of the 80 MB/s that may be planned "
            "(80% of the capacity), and it needs 50 MB/s."
        )


async def test_a_share_says_what_a_group_holds_and_is_entitled_to() -> None:
    groups = {"a": GroupPolicy(weight=3), "b": GroupPolicy(weight=1)}
    async with yard(max_concurrency=8, groups=groups) as y:
        await y.scheduler.pause()
        await y.fill(100, "a", seconds=10)
        await y.fill(100, "b", seconds=10)
        await y.scheduler.resume()
        await anyio.sleep(15)
        waiting = await y.submit(Job(number=1), group="b")
        explanation = await y.scheduler.explain(waiting)
        share = explanation.share
        assert share is not None
        assert (share.group, share.weight, share.held, share.entitled) == ("b", 1, 2, 2)
        assert "Group 'b' (weight 1) holds 2 slots and is entitled to 2." in str(explanation)


async def test_a_task_that_aged_says_its_effective_priority() -> None:
    aging = Aging(grace=timedelta(0), step=SECOND)
    async with yard(max_concurrency=1, aging=aging) as y:
        await y.submit(Rigid(number=1, seconds=100))
        waiting = await y.submit(Job(number=2))
        await anyio.sleep(10)
        explanation = await y.scheduler.explain(waiting)
        assert explanation.effective_priority == Priority.NORMAL - 10


async def test_what_runs_or_has_ended_tells_its_story() -> None:
    async with open_app() as app:
        runs = await app.work.submit(Nap(name="x", seconds=10))
        follows = await app.work.submit(Nap(name="x"))
        fails = await app.work.submit(Fail(permanent=True))
        await anyio.sleep(3)
        assert str(await app.work.explain(runs.id)) == (
            f"Task {runs.id} (work::nap) is running: run 1, attempt 1, for 3 s."
        )
        late = await app.work.submit(Nap(name="x"))
        assert late.id != runs.id
        assert "is blocked: It follows task" in str(await app.work.explain(late.id))
        await app.work.wait(late.id)
        assert str(await app.work.explain(runs.id)) == (
            f"Task {runs.id} (work::nap) completed at 2030-01-01 00:00:10 UTC, after 1 attempt; "
            "the last run took 10 s."
        )
        assert (await app.work.explain(follows.id)).holds == ()
        assert "failed at 2030-01-01 00:00:00 UTC, after 1 attempt: " in str(
            await app.work.explain(fails.id)
        )
        cancelled = await app.work.submit(Nap(name="y"), delay=SECOND)
        await app.work.cancel(cancelled.id)
        assert str(await app.work.explain(cancelled.id)) == (
            f"Task {cancelled.id} (work::nap) was cancelled at 2030-01-01 00:00:10 UTC: cancelled."
        )
