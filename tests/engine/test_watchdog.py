"""What blocks the event loop is noticed, named and counted; what does not is left alone.

In real time: a handler blocks until the watchdog has said so, so that no test goes by luck.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import threading
import time
import weakref
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from traceback import StackSummary
from typing import Any

import anyio
import attrs
import pytest

from taskmill import (
    Completed,
    ConfigurationError,
    Context,
    Dispatched,
    Domain,
    DomainKey,
    EventStream,
    Handler,
    LoopBlocked,
    Outcome,
    Scheduler,
    Stop,
    Success,
    Task,
    Work,
)
from taskmill.engine.engine import Engine
from taskmill.engine.runs.watchdog import Watchdog, _Beat, _Look  # pyright: ignore[reportPrivateUsage]
from taskmill.executors.inline import InlineExecutor
from tests.engine.app import Nap, open_app

pytestmark = pytest.mark.anyio

SHORT = timedelta(milliseconds=50)
LONG = timedelta(milliseconds=400)
"""For what must not be reported: no machine holds a thread up for so long by chance."""


class Shop(DomainKey, name="shop"): ...


class Next(DomainKey, name="next"): ...


class Do(Task[Shop], name="do"):
    """Does in the event loop what the test says."""

    number: int = 0


class Thread(Task[Shop], name="thread"):
    """Does in a thread what the test says."""


@attrs.frozen
class AroundThreads(InlineExecutor):
    """Does something in the event loop, in place of the handler."""

    around: Callable[[], None] = lambda: None

    def check(self, handler: Handler[Any]) -> None: ...

    async def run(self, work: Work) -> Outcome:  # noqa: ARG002 - it does not run it
        self.around()
        return Success()


class Wait(Task[Shop], name="wait"):
    """Awaits the end of the test."""


class Errand(Task[Next], name="errand"): ...


class Reports(logging.Handler):
    """What the watchdog has said."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.told = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        self.told.set()

    def block_until_told(self) -> None:
        assert self.told.wait(60)

    def on(self, task_type: str | None) -> list[logging.LogRecord]:
        return [r for r in self.records if getattr(r, "task_type", None) == task_type]


@pytest.fixture
def reports() -> Generator[Reports]:
    handler = Reports()
    logger = logging.getLogger("taskmill.watchdog")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


@attrs.define
class Script:
    """What the handlers do."""

    do: Callable[[], None] = lambda: None
    in_thread: Callable[[], None] = lambda: None
    over: anyio.Event = attrs.field(factory=anyio.Event)


@Do.handler
async def do(task: Do, ctx: Context[Shop]) -> None:
    ctx.state(Script).do()


@Thread.handler
def in_thread(task: Thread, ctx: Context[Shop]) -> None:
    ctx.state(Script).in_thread()


@Wait.handler
async def wait(task: Wait, ctx: Context[Shop]) -> None:
    await ctx.state(Script).over.wait()


@Errand.handler
async def errand(task: Errand, ctx: Context[Next]) -> None: ...


def scheduler_of(script: Script, loop_limit: timedelta | None = SHORT, **options: Any) -> Scheduler:
    domains: list[Domain[Any]] = [
        Domain(Shop, handlers=[do, in_thread, wait], state=[script]),
        Domain(Next, handlers=[errand]),
    ]
    return Scheduler(":memory:", domains=domains, shutdown=Stop(), loop_limit=loop_limit, **options)


@asynccontextmanager
async def at_work(
    script: Script, loop_limit: timedelta | None = SHORT
) -> AsyncGenerator[Scheduler]:
    """An open scheduler, one handler of which is at work and waits."""
    async with scheduler_of(script, loop_limit) as scheduler, scheduler.events(Wait) as events:
        await scheduler.submit(Wait())
        async for event in events:
            if isinstance(event, Dispatched):
                break
        yield scheduler


def watchdogs() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "taskmill-watchdog"]


def watchdog_of(scheduler: Scheduler) -> Watchdog:
    assert isinstance(scheduler._engine, Engine)
    return scheduler._engine._watchdog


@attrs.define
class Beats:
    """What the watchdog has posted in the loop."""

    sent: int = 0
    pending: int = 0
    changed: threading.Condition = attrs.field(factory=threading.Condition)

    def wait_for(self, further: int) -> None:
        with self.changed:
            wanted = self.sent + further
            assert self.changed.wait_for(lambda: self.sent >= wanted, 60)


@pytest.fixture
async def beats(monkeypatch: pytest.MonkeyPatch) -> Beats:
    found = Beats()
    loop = asyncio.get_running_loop()
    post = loop.call_soon_threadsafe

    def counted(call: Callable[..., object], *arguments: Any, **options: Any) -> Any:
        if threading.current_thread() not in watchdogs():
            return post(call, *arguments, **options)

        def answered() -> None:
            found.pending -= 1
            call(*arguments)

        with found.changed:
            found.sent += 1
            found.pending += 1
            found.changed.notify_all()
        return post(answered)

    monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
    return found


async def blocks_on(events: EventStream[Any]) -> list[LoopBlocked]:
    """What a stream had of them, once its scheduler has shut down."""
    return [event async for event in events if isinstance(event, LoopBlocked)]


# --- what blocks ---


async def test_a_handler_that_blocks_the_loop_is_named_with_the_line_it_is_at(
    reports: Reports,
) -> None:
    async with scheduler_of(Script(do=reports.block_until_told)) as scheduler:
        submitted = await scheduler.submit(Do())
        await scheduler.idle()
    [record] = reports.on("shop::do")
    assert (record.levelname, vars(record)["task_id"]) == ("WARNING", submitted.id)
    assert vars(record)["attempt"] == 1
    text = record.getMessage()
    assert f"task {submitted.id} (shop::do) has blocked the event loop for 0." in text
    assert "plain function, which runs in a thread" in text
    assert "ctx.run_in_thread" in text
    first, *_, last = [line for line in text.splitlines() if line.startswith("  File ")]
    assert first.endswith(" in do")
    assert "threading.py" in last
    assert "    ctx.state(Script).do()" in text


async def test_the_block_is_told_to_the_streams_it_concerns_and_counted(reports: Reports) -> None:
    scheduler = scheduler_of(Script(do=reports.block_until_told))
    async with scheduler:
        key_events = scheduler.domain(Shop).events()
        other_events = scheduler.domain(Next).events()
        async with scheduler.events() as events, key_events as own, other_events as others:
            submitted = await scheduler.submit(Do())
            await scheduler.idle()
            seen = await scheduler.snapshot()
            scheduler.stop()
            everything = [event async for event in events]
            blocks = [event for event in everything if isinstance(event, LoopBlocked)]
            assert len(blocks) == seen.loop_blocks >= 1
            [block] = [event for event in blocks if event.header is not None]
            assert block.header is not None
            assert (block.header.id, block.header.type) == (submitted.id, "shop::do")
            assert block.duration >= SHORT
            assert block.stack in reports.on("shop::do")[0].getMessage()
            [end] = [event for event in everything if isinstance(event, Completed)]
            assert everything.index(block) < everything.index(end)
            assert block in await blocks_on(own)
            assert block not in await blocks_on(others)
    as_json = json.loads(json.dumps(block.to_dict()))
    assert as_json["event"] == "LoopBlocked"
    assert as_json["header"]["type"] == "shop::do"
    assert as_json["duration"] == block.duration.total_seconds()


async def test_a_block_is_reported_once_and_the_next_one_again(reports: Reports) -> None:
    def block() -> None:
        reports.told.clear()
        reports.block_until_told()
        time.sleep(6 * SHORT.total_seconds())

    async with scheduler_of(Script(do=block)) as scheduler:
        first = await scheduler.submit(Do(number=1))
        await scheduler.idle()
        second = await scheduler.submit(Do(number=2))
        await scheduler.idle()
    assert [vars(r)["task_id"] for r in reports.on("shop::do")] == [first.id, second.id]


async def test_the_application_s_own_code_is_told_from_handlers(reports: Reports) -> None:
    async with at_work(Script()) as scheduler:
        own_events = scheduler.domain(Shop).events()
        async with scheduler.events() as events, own_events as own:
            reports.block_until_told()
            await anyio.lowlevel.checkpoint()
            scheduler.stop()
            block = next(event for event in await blocks_on(events) if event.header is None)
            assert block not in await blocks_on(own)
    text = reports.on(None)[-1].getMessage()
    assert text.startswith("the application's own code, which is no handler, has blocked the event")
    assert "anyio.to_thread.run_sync" in text
    assert "in test_the_application_s_own_code_is_told_from_handlers" in text
    assert "test_watchdog.py" in text
    assert block.to_dict()["header"] is None


async def test_a_plain_callback_that_blocks_is_noticed(reports: Reports) -> None:
    async with at_work(Script()):
        asyncio.get_running_loop().call_soon(reports.block_until_told)
        await anyio.sleep(0.001)
    assert "in block_until_told" in reports.on(None)[-1].getMessage().splitlines()[1]


async def test_a_call_that_keeps_the_interpreter_to_itself_is_noticed(reports: Reports) -> None:
    async with scheduler_of(Script(do=lambda: print(sum(range(50_000_000))))) as scheduler:
        with anyio.fail_after(120):
            while not reports.on("shop::do"):  # the watchdog may come too late to see it
                await scheduler.submit(Do())
                await scheduler.idle()
    text = reports.on("shop::do")[0].getMessage()
    assert "sum(range(50_000_000))" in text


async def test_what_takes_long_around_a_handler_elsewhere_is_named_apart_from_it(
    reports: Reports,
) -> None:
    def compute() -> None:
        end = time.thread_time() + 6 * SHORT.total_seconds()
        while time.thread_time() < end:
            pass

    executors = {"thread": AroundThreads(around=compute)}
    async with scheduler_of(Script(), executors=executors) as scheduler:
        await scheduler.submit(Thread())
        await scheduler.idle()
    text = reports.on("shop::thread")[0].getMessage()
    assert "its handler runs elsewhere, but what it reports is read in the loop" in text
    assert "in compute" in text


@pytest.mark.parametrize("of_a_handler", [True, False])
async def test_what_a_blocking_call_holds_is_let_go_at_its_end_in_its_own_thread(
    reports: Reports, of_a_handler: bool
) -> None:
    let_go_in: list[threading.Thread] = []

    def block() -> None:
        held = Script()
        weakref.finalize(held, lambda: let_go_in.append(threading.current_thread()))
        reports.block_until_told()

    gc.disable()
    try:
        async with at_work(Script(do=block)) as scheduler:
            if of_a_handler:
                await scheduler.submit(Do())
            else:
                asyncio.get_running_loop().call_soon(block)
            await until(lambda: bool(let_go_in))
            assert let_go_in == [threading.current_thread()]
    finally:
        gc.enable()


# --- what does not ---


async def test_a_handler_that_blocks_a_thread_is_not_reported(
    reports: Reports, beats: Beats
) -> None:
    script = Script(in_thread=lambda: beats.wait_for(4))
    async with scheduler_of(script, LONG) as scheduler:
        await scheduler.submit(Thread())
        await scheduler.idle()
        assert (await scheduler.snapshot()).loop_blocks == 0
    assert reports.records == []


async def test_what_the_loop_waits_for_around_a_thread_handler_is_not_reported(
    reports: Reports,
) -> None:
    def wait() -> None:  # as for the first turn of a thread, where many compute
        time.sleep(8 * SHORT.total_seconds())

    async with scheduler_of(
        Script(), executors={"thread": AroundThreads(around=wait)}
    ) as scheduler:
        await scheduler.submit(Thread())
        await scheduler.idle()
    assert reports.on("shop::thread") == []


async def test_a_loop_that_is_busy_with_many_short_calls_is_not_reported(
    reports: Reports, beats: Beats
) -> None:
    most = 0

    async def short() -> None:
        nonlocal most
        end = time.perf_counter() + 0.001
        while time.perf_counter() < end:
            most = max(most, beats.pending)

    async with at_work(Script(), LONG):
        await asyncio.gather(*(short() for _ in range(1500)))
    assert most == 1  # the beat had to wait
    assert reports.records == []


@pytest.mark.parametrize(("computed", "is_blamed"), [(0.49, False), (0.5, True)])
def test_what_was_seen_too_late_is_blamed_only_if_the_loop_did_compute_so_long(
    computed: float, is_blamed: bool
) -> None:
    beat = _Beat(since=0, limit=0.5)
    beat.suspect = look = look_at_nothing()
    assert beat.answer(computed) is (look if is_blamed else None)


def test_a_call_is_certain_only_if_two_looks_in_a_row_see_it_when_they_should() -> None:
    beat, first, second = _Beat(since=0, limit=0.4), object(), object()
    looks = [(first, 0.0), (second, 0.0), (second, 0.01), (second, 0.2), (second, 0.0)]
    found = [beat.compare(call, late) for call, late in [*looks, (second, 0.0)]]
    assert found == [
        (False, True),
        (False, True),
        (True, True),
        (True, False),
        (True, False),
        (True, True),
    ]


def test_what_was_seen_when_the_loop_had_answered_is_not_blamed() -> None:
    beat = _Beat(since=0, limit=0.5)
    assert beat.answer(1) is None
    assert not beat.blame(look_at_nothing())


def look_at_nothing() -> _Look:
    return _Look(
        header=None, lines=StackSummary(), is_elsewhere=False, is_certain=False, is_suspect=True
    )


# --- what it costs ---


async def test_it_asks_nothing_while_nothing_runs(beats: Beats) -> None:
    script = Script(in_thread=lambda: beats.wait_for(2))
    async with scheduler_of(script) as scheduler:
        watchdog = watchdog_of(scheduler)
        await until(lambda: watchdog.is_parked)
        assert beats.sent == 0
        for _ in range(2):
            await scheduler.submit(Thread())
            await scheduler.idle()
            await until(lambda: watchdog.is_parked)
            sent, naps = beats.sent, naps_of(watchdogs()[0])
            await anyio.sleep(8 * SHORT.total_seconds())
            assert beats.sent == sent
            assert watchdog.is_parked
            assert naps_of(watchdogs()[0]) - naps < 4  # with a timeout there would be 16


async def until(is_so: Callable[[], bool]) -> None:
    with anyio.fail_after(60):
        while not is_so():  # noqa: ASYNC110 - it is another thread that changes it
            await anyio.sleep(0.001)


def naps_of(thread: threading.Thread) -> int:
    """How often a thread went to sleep; 0 where the system does not say."""
    status = Path(f"/proc/self/task/{thread.native_id}/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt"))


# --- its life ---


async def test_closing_ends_its_thread_and_leaves_no_beat_behind(beats: Beats) -> None:
    for _ in range(20):
        async with at_work(Script(), timedelta(milliseconds=20)):
            [watchdog] = watchdogs()
            assert watchdog.daemon
            await anyio.to_thread.run_sync(beats.wait_for, 1)
        assert watchdogs() == []
        assert beats.pending == 0


async def test_a_log_handler_that_hangs_does_not_keep_the_scheduler_open() -> None:
    class Hanging(logging.Handler):
        told, free = threading.Event(), threading.Event()

        def emit(self, record: logging.LogRecord) -> None:  # noqa: ARG002 - as logging calls it
            self.told.set()
            assert self.free.wait(60)

    hanging = Hanging()
    logger = logging.getLogger("taskmill.watchdog")
    logger.addHandler(hanging)
    try:
        with anyio.fail_after(30):
            async with at_work(Script()):
                assert hanging.told.wait(60)
        [left] = watchdogs()
    finally:
        hanging.free.set()
        logger.removeHandler(hanging)
    await anyio.to_thread.run_sync(left.join)


async def test_none_turns_it_off(reports: Reports) -> None:
    script = Script(do=lambda: time.sleep(4 * SHORT.total_seconds()))
    async with scheduler_of(script, None) as scheduler:
        await scheduler.submit(Do())
        await scheduler.idle()
        assert watchdogs() == []
        assert (await scheduler.snapshot()).loop_blocks == 0
    assert reports.records == []


async def test_each_opening_is_watched_and_counts_anew(reports: Reports) -> None:
    scheduler = scheduler_of(Script(do=reports.block_until_told))
    for opening in range(2):
        reports.told.clear()
        async with scheduler, scheduler.events() as events:
            assert (await scheduler.snapshot()).loop_blocks == 0
            await scheduler.submit(Do(number=opening))
            await scheduler.idle()
            seen = await scheduler.snapshot()
            scheduler.stop()
            assert len(await blocks_on(events)) == seen.loop_blocks >= 1
    assert len(reports.on("shop::do")) == 2


async def test_virtual_time_is_the_same_under_a_watchdog() -> None:
    async with open_app(loop_limit=timedelta(milliseconds=20)) as app:
        for number in range(200):
            await app.work.submit(Nap(name=str(number), seconds=3600))
        await app.scheduler.idle()
        assert app.seconds() == pytest.approx(13 * 3600)


@pytest.mark.parametrize(
    "wrong", [timedelta(0), timedelta(milliseconds=5), -SHORT, timedelta.max, 0.5, "1s", True]
)
def test_a_limit_that_is_none_is_refused_with_advice(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"loop_limit must be .* 20 milliseconds or more"):
        scheduler_of(Script(), wrong)
