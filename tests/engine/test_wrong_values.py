"""One wrong value is refused where it is written; what got further fails its own task alone."""

from __future__ import annotations

import inspect
import sqlite3
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import TaskGroup

from taskmill import (
    ConfigurationError,
    Context,
    Domain,
    DomainKey,
    Drain,
    Enqueued,
    Failed,
    GroupPolicy,
    InvalidState,
    MissingStateError,
    Permanent,
    RetryAfter,
    RetryPolicy,
    Scheduler,
    SchedulerFailed,
    SqliteStore,
    Stop,
    StoreError,
    Task,
    TaskRecord,
    TaskStatus,
    ThreadExecutor,
    UnknownDomainError,
)
from taskmill.testing import FakeClock, virtual_time
from tests.engine.app import SECOND, Board, Errand, Fail, Nap, Other, Work, domains, open_app

pytestmark = pytest.mark.anyio


class One(DomainKey, name="one"): ...


class Do(Task[One, Any], name="do"):
    value: int = 0


async def record_of(
    execute: Callable[..., Any], *, state: Sequence[object] = (), **options: Any
) -> TaskRecord:
    """Run one task with this function, then another one on the same scheduler."""
    async with virtual_time() as clock:
        domain = Domain(One, handlers=[Do.handler(execute)], state=state)
        other = Domain(Other, handlers=domains(Board())[1].handlers)
        async with Scheduler(":memory:", domains=[domain, other], clock=clock) as scheduler:
            submitted = await scheduler.submit(Do(), **options)
            record = await scheduler.wait(submitted.id)
            assert await scheduler.result(await scheduler.submit(Errand(number=3))) == 3
            return record


def anything(given: object) -> Any:
    """A value as an untyped caller could pass it."""
    return given


# --- the scheduler goes on -----------------------------------------------------------------------


async def test_a_row_with_options_that_do_not_fit_fails_its_own_task_and_says_so(
    tmp_path: Path,
) -> None:
    path = str(tmp_path / "app.db")
    async with open_app(path) as app:
        bad = await app.work.submit(Nap(name="bad"), timeout=SECOND, delay=60 * SECOND)
        good = await app.work.submit(Nap(name="good"), delay=60 * SECOND)
    with sqlite3.connect(path) as db:
        db.execute("UPDATE taskmill_tasks SET options = '{\"retry\": 3}' WHERE id = ?", (bad.id,))
    db.close()
    async with open_app(path) as app:
        app.clock.jump(120 * SECOND)
        assert await app.work.result(good) == "good"
        record = await app.work.wait(bad.id)
    assert record.status is TaskStatus.FAILED
    assert record.reason is not None
    assert "stored options" in record.reason
    assert record.last_error is not None
    assert record.last_error.type.endswith("PayloadError")


@pytest.mark.parametrize("damage", ["tags = '{'", f"created_at_ms = {10**17}"])
async def test_a_row_that_cannot_be_read_is_taken_out_of_the_queue(
    tmp_path: Path, damage: str
) -> None:
    path = str(tmp_path / "app.db")
    async with open_app(path) as app:
        bad = await app.work.submit(Nap(name="bad"), delay=60 * SECOND)
        good = await app.work.submit(Nap(name="good"), delay=60 * SECOND)
    with sqlite3.connect(path) as db:
        db.execute(f"UPDATE taskmill_tasks SET {damage} WHERE id = ?", (bad.id,))  # noqa: S608 - from the list above
    db.close()
    async with open_app(path) as app:
        app.clock.jump(120 * SECOND)
        assert await app.work.result(good) == "good"
        await app.scheduler.idle()
        assert await app.work.count(status=TaskStatus.CANCELLED, ids=[bad.id]) == 1
        assert app.board.started == ["good"]


async def test_retry_after_takes_a_timedelta_and_fails_the_attempt_otherwise() -> None:
    with pytest.raises(ConfigurationError, match=r"RetryAfter takes a timedelta.* not 5"):
        RetryAfter(anything(5))

    async def handle(task: Do, ctx: Context[One]) -> None:
        raise RetryAfter(anything(5))

    record = await record_of(handle, max_retries=1)
    assert record.status is TaskStatus.DEAD
    assert record.reason is not None
    assert record.reason.startswith("failed 2 times; last: ConfigurationError: RetryAfter takes")


async def test_an_error_that_cannot_be_judged_ends_the_task_and_the_judge_is_noted() -> None:
    class Odd(RetryAfter):
        def __init__(self) -> None:
            super().__init__(SECOND)
            self.delay = anything("soon")

    async def handle(task: Do, ctx: Context[One]) -> None:
        raise Odd

    record = await record_of(handle)
    assert record.status is TaskStatus.FAILED
    assert record.last_error is not None
    assert "Not retried, for judging this error raised TypeError" in record.last_error.traceback


async def test_a_retry_on_function_that_raises_means_no_retry() -> None:
    policy = RetryPolicy.constant(5, retry_on=lambda error: anything(error).code == 5)

    class Asked(Task[One], name="asked", retry=policy): ...

    async def handle(task: Asked, ctx: Context[One]) -> None:
        raise ValueError("boom")

    async with virtual_time() as clock:
        domain = Domain(One, handlers=[Asked.handler(handle)])
        async with Scheduler(":memory:", domains=[domain], clock=clock) as scheduler:
            record = await scheduler.wait((await scheduler.submit(Asked())).id)
    assert (record.status, record.attempt) == (TaskStatus.FAILED, 1)
    assert record.reason == "ValueError: boom"
    assert record.last_error is not None
    assert "AttributeError: 'ValueError' object has no" in record.last_error.traceback


async def test_an_error_whose_text_ends_the_interpreter_fails_its_task_alone() -> None:
    class Loud(Exception):
        def __str__(self) -> str:
            raise SystemExit

    async def handle(task: Do, ctx: Context[One]) -> None:
        raise Loud

    record = await record_of(handle, max_retries=0)
    assert record.status is TaskStatus.DEAD


class Broken(SqliteStore):
    """A store with a bug: it cannot write when it is told to break."""

    is_broken = False

    async def apply(self, changes: Any) -> Any:
        if self.is_broken:
            raise KeyError("a bug")
        return await super().apply(changes)


async def test_a_scheduler_that_fails_raises_one_error_and_keeps_what_was_accepted(
    tmp_path: Path,
) -> None:
    path = tmp_path / "app.db"
    store = Broken(path)
    outcome: list[str] = []

    async def outside(scheduler: Scheduler) -> None:
        with pytest.raises(StoreError, match="not known"):
            await scheduler.submit(Errand(number=1))
        outcome.append("told")

    async def inside(group: TaskGroup) -> None:
        async with Scheduler(store=store, domains=domains(Board())) as scheduler:
            await scheduler.submit(Errand(number=0), delay=SECOND)
            store.is_broken = True
            group.start_soon(outside, scheduler)
            await anyio.sleep(60)

    async with anyio.create_task_group() as group:
        with pytest.raises(SchedulerFailed, match="KeyError") as caught:
            await inside(group)
        assert isinstance(caught.value.__cause__, KeyError)
    assert outcome == ["told"]
    async with Scheduler(path, domains=domains(Board())) as scheduler:
        assert await scheduler.count() == 1


def test_a_scheduler_needs_asyncio() -> None:
    with pytest.raises(ConfigurationError, match=r"runs on asyncio.*backend"):
        Scheduler(":memory:", domains=domains(Board())).__aenter__().send(None)


# --- what submit takes ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"retry": 3}, r"retry must be a RetryPolicy, such as RetryPolicy.exponential\(5\), not 3"),
        ({"retry": None}, "retry must be a RetryPolicy"),
        ({"max_retries": True}, "max_retries is a whole number"),
        ({"max_retries": 2.5}, "max_retries is a whole number"),
        ({"priority": True}, "priority is a whole number"),
        ({"requeue": "no"}, "requeue must be True or False, not 'no'"),
        ({"run_at": None}, "run_at must be an aware datetime"),
        ({"run_at": "tomorrow"}, "run_at must be an aware datetime"),
        ({"tags": ["a"]}, "tags must be a mapping from text to text"),
        ({"parent": "1"}, "parent must be a task's id, such as submitted.id, not '1'"),
        ({"parent": True}, "parent must be a task's id"),
    ],
)
async def test_an_option_of_the_wrong_kind_is_refused(
    options: dict[str, Any], message: str
) -> None:
    async with open_app() as app:
        with pytest.raises(ConfigurationError, match=f"this call: {message}"):
            await app.work.submit(Nap(name="x"), **options)
        assert await app.work.count() == 0


async def test_a_submit_takes_tasks_and_nothing_else() -> None:
    async with open_app() as app:
        for wrong in (Nap, {"name": "x"}, "nap", None):
            with pytest.raises(ConfigurationError, match="what is submitted is a task"):
                await app.work.submit(anything(wrong))
        with pytest.raises(ConfigurationError, match=r"submit_many takes must be a list"):
            await app.work.submit_many(anything(Nap(name="x")))


async def test_tags_of_a_payload_are_a_mapping() -> None:
    class Tagged(Task[One], name="tagged"):
        def task_tags(self) -> Any:
            return ["a"]

    async def handle(task: Any, ctx: Any) -> None: ...

    domain = Domain(One, handlers=[Tagged.handler(handle)])
    async with Scheduler(":memory:", domains=[domain]) as scheduler:
        with pytest.raises(ConfigurationError, match=r"task_tags\(\) must be a mapping"):
            await scheduler.submit(Tagged())


async def test_a_class_that_only_shares_its_name_with_a_mounted_one_is_named() -> None:
    class Twin(Task[Work], name="nap"): ...

    class Work2(DomainKey, name="work"): ...

    async with open_app() as app:
        message = r"'work::nap' is mounted here as another class, tests.engine.app.Nap; .* twice"
        with pytest.raises(ConfigurationError, match=message):
            await app.work.submit(Twin())
        with pytest.raises(UnknownDomainError, match=r"another class, tests.engine.app.Work; "):
            app.scheduler.domain(Work2)


# --- what looks tasks up -------------------------------------------------------------------------


async def test_a_task_is_looked_up_by_its_id() -> None:
    async with open_app() as app:
        submitted = await app.work.submit(Nap(name="x"))
        for wrong in (submitted, "1", 1.0, True, None):
            for verb in ("get", "wait", "cancel"):
                for side in (app.work, app.scheduler):
                    message = f"{verb} takes a task's id, such as submitted.id, not "
                    with pytest.raises(ConfigurationError, match=message):
                        await getattr(side, verb)(wrong)
        with pytest.raises(ConfigurationError, match="result takes what submit returned, not 1"):
            await app.work.result(anything(submitted.id))
        assert await app.work.result(submitted) == "x"


async def test_the_id_is_given_by_position() -> None:
    for side in (Scheduler, type(Scheduler(":memory:", domains=domains(Board())).domain(Work))):
        for verb in ("get", "wait", "cancel", "result"):
            first = list(inspect.signature(getattr(side, verb)).parameters.values())[1]
            assert first.kind is first.POSITIONAL_ONLY


@pytest.mark.parametrize(
    ("timeout", "message"),
    [(1, "timeout must be a timedelta"), (timedelta(0), "timeout must be more than zero")],
)
async def test_a_time_to_wait_is_a_timedelta_of_more_than_zero(timeout: Any, message: str) -> None:
    async with open_app() as app:
        submitted = await app.work.submit(Nap(name="x"))
        with pytest.raises(ConfigurationError, match=message):
            await app.work.wait(submitted.id, timeout=timeout)
        with pytest.raises(ConfigurationError, match=message):
            await app.work.result(submitted, timeout=timeout)


async def test_giving_up_says_on_what_and_after_how_long() -> None:
    async with open_app() as app:
        submitted = await app.work.submit(Nap(name="x", seconds=10))
        message = f"task {submitted.id} has not ended in the 0:00:02"
        with pytest.raises(TimeoutError, match=message):
            await app.work.wait(submitted.id, timeout=2 * SECOND)
        with pytest.raises(TimeoutError, match=message):
            await app.work.result(submitted, timeout=2 * SECOND)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"stauts": "pending"}, "unknown filter stauts; there is created_after"),
        ({"status": "pendng"}, "status: 'pendng' is not a valid TaskStatus; there is pending"),
        ({"status": 5}, "status must be a list"),
        ({"types": Nap}, "types must be a list, such as"),
        ({"types": ["work::nap"]}, "types takes a task class, such as Send, not 'work::nap'"),
        ({"ids": 5}, "ids must be a list"),
        ({"ids": ["1"]}, "ids must hold a task's id"),
        ({"parent": "1"}, "parent must be a task's id"),
        ({"key": 5}, "key must be text"),
        ({"created_after": 5}, "created_after must be an aware datetime"),
    ],
)
async def test_a_filter_that_cannot_be_meant_is_refused(
    where: dict[str, Any], message: str
) -> None:
    async with open_app() as app:
        for side in (app.work, app.scheduler):
            with pytest.raises(ConfigurationError, match=message):
                await side.count(**where)


async def test_a_status_can_be_one_or_several_and_may_be_its_text() -> None:
    async with open_app() as app:
        await app.work.submit(Nap(name="x"), delay=SECOND)
        assert await app.work.count(status=TaskStatus.PENDING) == 1
        assert await app.work.count(status=anything("pending")) == 1
        assert await app.work.count(status=[TaskStatus.PENDING, TaskStatus.FAILED]) == 1


async def test_events_are_of_a_task_class_of_the_domain() -> None:
    async with open_app() as app:
        for wrong in ("work::nap", Work, Nap(name="x")):
            with pytest.raises(ConfigurationError, match="events takes a task class"):
                app.work.events(anything(wrong))
            with pytest.raises(ConfigurationError, match="events takes a task class"):
                app.scheduler.events(anything(wrong))
        with pytest.raises(ConfigurationError, match="is no task of domain 'work'"):
            app.work.events(anything(Errand))


async def test_a_stream_is_entered_while_the_scheduler_is_open() -> None:
    scheduler = Scheduler(":memory:", domains=domains(Board()))
    early = scheduler.events()
    with pytest.raises(InvalidState, match="not open"):
        async with early:
            pass
    async with scheduler, early as events:
        await scheduler.submit(Errand(number=1))
        event = await anext(events)
        assert isinstance(event, Enqueued)


async def test_a_failed_attempt_says_which_one_it_was() -> None:
    async with open_app() as app, app.work.events(Fail) as events:
        await app.work.submit(Fail(times=2))
        await app.scheduler.idle()
        await app.scheduler.idle()
        seen: list[int] = []
        async for event in events:
            if isinstance(event, Failed):
                seen.append(event.attempt)
                if len(seen) == 2:
                    break
    assert seen == [1, 2]


# --- what a scheduler is made of -----------------------------------------------------------------


def make_scheduler(options: dict[str, Any]) -> Scheduler:
    return Scheduler(**options)


STORE = SqliteStore(":memory:")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_concurrency": None}, "number of its slots, must be 1 or more.* got None"),
        ({"max_concurrency": "4"}, "must be 1 or more.* got '4'"),
        ({"max_concurrency": 2.5}, "must be 1 or more"),
        ({"max_concurrency": True}, "must be 1 or more"),
        ({"groups": {"s3": 4}}, r"groups\['s3'\] must be a GroupPolicy, .* not 4"),
        ({"groups": {5: GroupPolicy()}}, "a group's name must be text"),
        ({"groups": ["s3"]}, "groups must be a mapping"),
        ({"group_default": 4}, "group_default must be a GroupPolicy"),
        ({"retry": 3}, "the scheduler: retry must be a RetryPolicy"),
        ({"shutdown": 30}, r"shutdown takes Drain\(.*\) or Stop\(\), not 30"),
        ({"shutdown": Drain}, "shutdown takes Drain"),
        ({"executors": {"thread": 4}}, r"executors\['thread'\] must be an executor"),
        ({"executors": {"thread": ThreadExecutor}}, r"executors\['thread'\] must be"),
        ({"executors": [ThreadExecutor()]}, "executors must be a mapping"),
        ({"clock": FakeClock}, "clock is the class FakeClock; pass an instance"),
        ({"clock": 5}, "5 is no clock"),
        ({"rng": 7}, "7 is no rng"),
        ({"path": ""}, "path of a database is a str"),
        ({"path": 5}, "path of a database is a str"),
        ({"path": None, "store": SqliteStore}, "store is the class SqliteStore"),
        ({"path": None, "store": STORE, "durability": "power"}, "durability is the store's own"),
        ({"state": "abc"}, "state must be a list"),
        ({"state": [Board]}, "the state Board is a class; pass an instance"),
        ({"domains": [domains]}, "call the function that makes the domain"),
        ({"domains": [Work]}, r"domains takes Domain\(\.\.\.\) objects"),
        ({"domains": Domain(Work)}, "domains must be a list"),
    ],
)
def test_a_scheduler_of_the_wrong_parts_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make_scheduler({"path": ":memory:", "domains": domains(Board()), **options})


async def test_stopping_takes_a_way_to_stop_and_running_twice_is_refused() -> None:
    async with open_app() as app:
        for wrong in (30, Stop, "now"):
            with pytest.raises(ConfigurationError, match="stop takes Drain"):
                app.scheduler.stop(anything(wrong))
        with pytest.raises(InvalidState, match="open already"):
            await app.scheduler.run()
        with pytest.raises(ConfigurationError, match="is a class"):
            app.scheduler.add_state(Board)
        with pytest.raises(ConfigurationError, match="a domain is named by its key"):
            app.scheduler.domain(anything("work"))


# --- in a handler --------------------------------------------------------------------------------


async def test_a_plain_handler_that_returns_a_coroutine_fails_and_says_what_to_do() -> None:
    async def inner() -> None: ...

    def handle(task: Do, ctx: Context[One]) -> Any:
        return inner()

    record = await record_of(handle)
    assert record.status is TaskStatus.FAILED
    assert record.reason is not None
    assert "returned <coroutine object" in record.reason
    assert record.reason.endswith("make the handler async def")


async def test_state_asked_for_by_a_base_class_must_be_one() -> None:
    class Base: ...

    class First(Base): ...

    class Second(Base): ...

    async def handle(task: Do, ctx: Context[One]) -> str:
        with pytest.raises(MissingStateError, match=r"First and .*Second"):
            ctx.state(Base)
        return type(ctx.state(First)).__name__

    assert (await record_of(handle, state=[First(), Second()])).result == '"First"'

    async def exactly(task: Do, ctx: Context[One]) -> str:
        return type(ctx.state(Base)).__name__

    assert (await record_of(exactly, state=[First(), Base(), Second()])).result == '"Base"'


async def test_a_timeout_counts_even_if_the_handler_makes_nothing_of_it() -> None:
    async def swallow(task: Do, ctx: Context[One]) -> str:
        try:
            await anyio.sleep(5)
        except BaseException:  # noqa: BLE001 - what the test is about
            return "as if nothing had happened"
        return "in time"

    record = await record_of(swallow, timeout=SECOND, max_retries=0)
    assert record.status is TaskStatus.DEAD
    assert record.result is None
    assert record.reason == "failed once: TimeoutError: ran for longer than its timeout of 0:00:01"


async def test_the_end_of_a_task_always_has_a_reason_with_the_kind_of_the_error() -> None:
    async def key(task: Do, ctx: Context[One]) -> None:
        raise KeyError("k")

    async def wordless(task: Do, ctx: Context[One]) -> None:
        raise AssertionError

    async def permanent(task: Do, ctx: Context[One]) -> None:
        raise Permanent

    assert (await record_of(key, max_retries=3)).reason == "failed 4 times; last: KeyError: 'k'"
    assert (await record_of(wordless, max_retries=0)).reason == "failed once: AssertionError"
    assert (await record_of(permanent)).reason == "Permanent"


async def test_a_log_line_keeps_what_the_handler_adds(caplog: pytest.LogCaptureFixture) -> None:
    async def handle(task: Do, ctx: Context[One]) -> None:
        ctx.log.warning("look", extra={"mine": 1})

    await record_of(handle)
    [line] = [line for line in caplog.records if line.message == "look"]
    assert (getattr(line, "mine", None), getattr(line, "task_type", None)) == (1, "one::do")
