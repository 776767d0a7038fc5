"""Submitting, looking up, waiting: what an application does with handles."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import anyio
import pytest

from taskmill import (
    ConfigurationError,
    Context,
    Domain,
    DomainKey,
    InvalidState,
    InvalidTag,
    PayloadTooLarge,
    Permanent,
    Priority,
    Scheduler,
    SubmitOutcome,
    Task,
    TaskStatus,
    UnknownDomainError,
    UnknownTaskError,
)
from taskmill.model.record import TaskId
from taskmill.testing import START, FakeClock, virtual_time
from tests.engine.app import SECOND, Board, Errand, Nap, Other, Work, domains, open_app

pytestmark = pytest.mark.anyio


async def test_the_same_work_waiting_is_a_duplicate_or_takes_the_better_priority() -> None:
    async with open_app(max_concurrency=1) as app:
        await app.work.submit(Nap(name="busy", seconds=5))
        first = await app.work.submit(Nap(name="x"), priority=Priority.BACKGROUND)
        same = await app.work.submit(Nap(name="x"), priority=Priority.IDLE)
        better = await app.work.submit(Nap(name="x"), priority=Priority.HIGH)
        assert first.outcome is SubmitOutcome.INSERTED
        assert (same.id, same.outcome) == (first.id, SubmitOutcome.DUPLICATE)
        assert (better.id, better.outcome) == (first.id, SubmitOutcome.UPGRADED)
        await app.work.submit(Nap(name="y"), priority=Priority.NORMAL)
        await app.scheduler.idle()
        assert app.board.started == ["busy", "x", "y"]


async def test_the_same_work_running_gets_one_follow_up_that_starts_after_it() -> None:
    async with open_app() as app:
        first = await app.work.submit(Nap(name="x", seconds=5))
        await anyio.sleep(1)
        second = await app.work.submit(Nap(name="x", seconds=7))
        third = await app.work.submit(Nap(name="x", seconds=9))
        assert second.outcome is SubmitOutcome.REQUEUED
        assert (third.id, third.outcome) == (second.id, SubmitOutcome.DUPLICATE)
        assert (await app.work.get(second.id)).status is TaskStatus.BLOCKED
        assert await app.work.result(second) == "x"
        assert app.seconds() == 5 + 7
        assert app.board.most == 1
        assert first.id != second.id


async def test_a_follow_up_starts_however_the_first_ends() -> None:
    async with open_app() as app:
        first = await app.work.submit(Nap(name="x", seconds=100))
        await anyio.sleep(1)
        second = await app.work.submit(Nap(name="x"))
        await app.work.cancel(first.id)
        assert await app.work.result(second) == "x"


async def test_without_requeue_the_running_task_stands_for_the_work() -> None:
    async with open_app() as app:
        first = await app.work.submit(Nap(name="x", seconds=5))
        await anyio.sleep(1)
        second = await app.work.submit(Nap(name="x"), requeue=False)
        assert (second.id, second.outcome) == (first.id, SubmitOutcome.DUPLICATE)


async def test_work_that_has_ended_can_be_submitted_again() -> None:
    async with open_app() as app:
        first = await app.work.submit(Nap(name="x"))
        await app.work.result(first)
        again = await app.work.submit(Nap(name="x"))
        assert again.outcome is SubmitOutcome.INSERTED
        assert again.id != first.id


async def test_submit_many_is_all_or_nothing_and_names_the_bad_one() -> None:
    async with open_app() as app:
        with pytest.raises(PayloadTooLarge) as caught:
            await app.work.submit_many([Nap(name="a"), Nap(name="b" * 2_000_000), Nap(name="c")])
        assert "task 1 of 3" in "".join(caught.value.__notes__)
        with pytest.raises(InvalidState, match="parent 999 does not exist"):
            await app.work.submit_many([Nap(name="a"), Nap(name="b")], parent=TaskId(999))
        assert await app.work.count() == 0
        assert await app.work.submit_many([]) == []


async def test_ten_thousand_tasks_in_one_call_all_run_once() -> None:
    async with open_app() as app:
        submitted = await app.other.submit_many(Errand(number=n) for n in range(10_000))
        assert len({task.id for task in submitted}) == 10_000
        await app.scheduler.idle()
        assert await app.other.count(status=TaskStatus.COMPLETED) == 10_000
        assert (await app.other.get(submitted[-1].id)).result == "9999"


async def test_cancelling_the_submit_call_does_not_undo_the_submit() -> None:
    async with open_app() as app:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(app.work.submit, Nap(name="x"))
                await anyio.lowlevel.checkpoint()
                scope.cancel()
        await app.scheduler.idle()
        assert app.board.stopped == ["x"]


TOO_LATE = datetime.max.replace(tzinfo=timezone(timedelta(hours=-12)))
TOO_EARLY = datetime.min.replace(tzinfo=timezone(timedelta(hours=12)))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"run_at": datetime(2030, 1, 1)}, ConfigurationError, "no time zone"),  # noqa: DTZ001
        (
            {"run_at": TOO_LATE},
            ConfigurationError,
            "year 9999 in UTC; .* to 9999-12-31",
        ),
        ({"run_at": TOO_EARLY}, ConfigurationError, "from 0001-01-01 00:00:00"),
        ({"run_at": START, "delay": SECOND}, ConfigurationError, "one start time"),
        ({"delay": -SECOND}, ConfigurationError, "delay must be a timedelta from zero"),
        ({"priority": 256}, ConfigurationError, "priority is a whole number from 0 to 255"),
        ({"tags": {"k" * 65: "v"}}, InvalidTag, "64 bytes"),
        ({"tags": {"k": "v" * 257}}, InvalidTag, "256 bytes"),
        ({"tags": {str(n): "v" for n in range(33)}}, InvalidTag, "at most 32"),
        ({"prio": 3}, ConfigurationError, "unknown option prio"),
        ({"group": ""}, ConfigurationError, "group must be text"),
        ({"key": "\ud800"}, ConfigurationError, "key must be text"),
    ],
)
async def test_a_bad_option_is_refused_with_a_clear_error(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    async with open_app() as app:
        with pytest.raises(error, match=message):
            await app.work.submit(Nap(name="x"), **options)
        assert await app.work.count() == 0


async def test_a_delayed_task_starts_at_its_time_and_not_before() -> None:
    async with open_app() as app:
        await app.work.submit(Nap(name="a"), delay=timedelta(days=2))
        await app.work.submit(Nap(name="b"), run_at=START + timedelta(hours=5))
        await app.work.submit(Nap(name="c"), run_at=START - timedelta(hours=5))
        await app.scheduler.idle()
        assert app.board.started == ["c"]
        await anyio.sleep(5 * 3600 + 1)
        assert app.board.started == ["c", "b"]
        await anyio.sleep(43 * 3600)
        assert app.board.started == ["c", "b", "a"]


async def test_a_wall_clock_that_jumps_makes_due_tasks_run_within_a_minute() -> None:
    async with open_app() as app:
        await app.work.submit(Nap(name="a"), delay=timedelta(days=2))
        await anyio.sleep(1)
        app.clock.jump(timedelta(days=3))
        await anyio.sleep(60)
        assert app.board.started == ["a"]


class SteppingBack:
    """A clock that is set back, once, right after somebody saw that it is ``at``."""

    def __init__(self, clock: FakeClock, at: datetime) -> None:
        self._clock = clock
        self._at = at
        self.monotonic = clock.monotonic
        self.hold = clock.hold

    def now(self) -> datetime:
        seen = self._clock.now()
        if seen >= self._at:
            self._at = datetime.max.replace(tzinfo=UTC)
            self._clock.jump(-SECOND / 2)
        return seen


async def test_a_clock_that_steps_back_when_the_alarm_rings_loses_no_due_time() -> None:
    board = Board()
    async with virtual_time() as clock:
        stepping = SteppingBack(clock, START + 5 * SECOND)
        async with Scheduler(":memory:", domains=domains(board), clock=stepping) as scheduler:
            await scheduler.submit(Nap(name="a"), delay=5 * SECOND)
            await anyio.sleep(7)
            assert board.started == ["a"]


async def test_wait_and_result_give_up_after_their_timeout() -> None:
    async with open_app() as app:
        submitted = await app.work.submit(Nap(name="x", seconds=10))
        with pytest.raises(TimeoutError):
            await app.work.wait(submitted.id, timeout=2 * SECOND)
        with pytest.raises(TimeoutError):
            await app.work.result(submitted, timeout=2 * SECOND)
        assert app.seconds() == 4
        assert await app.work.result(submitted, timeout=60 * SECOND) == "x"


async def test_a_handle_sees_its_own_domain_only_and_the_scheduler_sees_all() -> None:
    async with open_app() as app:
        nap = await app.work.submit(Nap(name="x", seconds=5))
        errand = await app.other.submit(Errand(), delay=60 * SECOND)
        assert (await app.work.count(), await app.other.count()) == (1, 1)
        assert await app.scheduler.count() == 2
        with pytest.raises(UnknownTaskError):
            await app.work.get(errand.id)
        assert (await app.scheduler.get(errand.id)).domain == "other"
        assert await app.scheduler.count(types=[Nap]) == 1
        assert await app.scheduler.count(types=[Nap], ids=[errand.id]) == 0
        assert await app.work.count(key="x") == 1
        assert await app.work.count(group=None, created_before=START + SECOND) == 1
        assert await app.work.count(created_after=START + SECOND) == 0
        assert await app.work.count(status=TaskStatus.COMPLETED) == 0
        assert nap.id != errand.id


async def test_results_and_records_survive_a_restart(tmp_path: Any) -> None:
    path = str(tmp_path / "app.db")
    async with open_app(path) as app:
        submitted = await app.work.submit(
            Nap(name="x"), tags={"job": "1"}, label="for people", group="g", priority=7
        )
        await app.work.result(submitted)
        before = await app.work.get(submitted.id)
    async with open_app(path) as again:
        assert await again.work.get(submitted.id) == before
        assert await again.work.result(submitted) == "x"
    assert (before.label, before.group, before.priority) == ("for people", "g", 7)
    assert (before.key, dict(before.tags)) == ("x", {"job": "1"})


async def test_outside_its_block_a_scheduler_refuses_clearly() -> None:
    scheduler = Scheduler(":memory:", domains=domains(Board()))
    work = scheduler.domain(Work)
    with pytest.raises(InvalidState, match="not open"):
        await work.submit(Nap(name="x"))
    async with scheduler:
        await work.submit(Nap(name="x"))
        with pytest.raises(RuntimeError, match="already"):
            async with scheduler:
                pass
    with pytest.raises(InvalidState, match="not open"):
        await work.submit(Nap(name="y"))


async def test_a_scheduler_can_be_opened_again(tmp_path: Any) -> None:
    scheduler = Scheduler(tmp_path / "app.db", domains=domains(Board()))
    for _ in range(3):
        async with scheduler:
            await scheduler.submit(Errand())
            await scheduler.idle()
    async with scheduler:
        assert await scheduler.count(status=TaskStatus.COMPLETED) == 3


def test_a_scheduler_checks_its_configuration_when_it_is_made() -> None:
    class Work2(DomainKey, name="work"): ...

    class T2(Task[Work2], name="t"): ...

    async def handle(task: Any, ctx: Any) -> None:
        raise Permanent

    with pytest.raises(ConfigurationError, match="two domains are named 'work'"):
        Scheduler(
            ":memory:", domains=[*domains(Board()), Domain(Work2, handlers=[T2.handler(handle)])]
        )
    with pytest.raises(ConfigurationError, match="needs a domain"):
        Scheduler(":memory:", domains=[])
    with pytest.raises(ConfigurationError, match="path"):
        Scheduler(domains=domains(Board()))
    with pytest.raises(ConfigurationError, match="max_concurrency"):
        Scheduler(":memory:", domains=domains(Board()), max_concurrency=0)
    with pytest.raises(ConfigurationError, match="durability"):
        Scheduler(":memory:", domains=domains(Board()), durability="none")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigurationError, match="executor"):
        Scheduler(":memory:", domains=domains(Board()), executors={"gpu": object()})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
    with pytest.raises(UnknownDomainError, match="'other'"):
        Scheduler(":memory:", domains=domains(Board())[:1]).domain(Other)
    assert Scheduler(":memory:", domains=domains(Board())[:1]).find_domain(Other) is None


async def test_a_type_that_is_only_named_cannot_be_submitted_where_nothing_would_run_it() -> None:
    class Lone(DomainKey, name="lone"): ...

    class Named(Task[Lone], name="named"): ...

    async with Scheduler(":memory:", domains=[Domain(Lone, tasks=[Named])]) as scheduler:
        with pytest.raises(ConfigurationError, match="no handler here"):
            await scheduler.submit(Named())


async def test_state_can_be_added_while_the_scheduler_runs() -> None:
    class Lone(DomainKey, name="lone"): ...

    class Ask(Task[Lone, str], name="ask"): ...

    @Ask.handler
    async def ask(task: Ask, ctx: Context[Lone]) -> str:
        return ctx.state(str)

    async with Scheduler(":memory:", domains=[Domain(Lone, handlers=[ask])]) as scheduler:
        scheduler.add_state("early")
        assert await scheduler.result(await scheduler.submit(Ask())) == "early"
        scheduler.add_state("late")
        assert await scheduler.result(await scheduler.submit(Ask())) == "late"
