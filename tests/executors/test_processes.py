"""Worker processes, and handlers that do in them what no handler should."""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import types
import warnings
from collections.abc import AsyncGenerator, Generator, Iterable
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from taskmill import (
    Completed,
    ConfigurationError,
    Domain,
    Drain,
    EventStream,
    InvalidState,
    PayloadError,
    ProcessExecutor,
    Progress,
    RemoteError,
    RetryPolicy,
    Scheduler,
    Stop,
    TaskId,
    TaskRecord,
    TaskStatus,
    ThreadExecutor,
)
from taskmill.testing import scheduler_in_memory, virtual_time
from tests.executors import app as module
from tests.executors.app import (
    KINDS,
    MIB,
    SOON,
    App,
    Do,
    Fold,
    Partial,
    Plant,
    open_app,
    open_without_handlers,
)

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux has them")
LONG = timedelta(seconds=30)
"""Longer than anything here takes, unless it hangs."""


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


class Judge:
    """A ``retry_on`` that keeps what it was asked about."""

    def __init__(self) -> None:
        self.seen: list[BaseException] = []

    def __call__(self, error: BaseException) -> bool:
        self.seen.append(error)
        return isinstance(error, Exception)


judge = Judge()


@pytest.fixture(scope="module")
async def app() -> AsyncGenerator[App]:
    """One worker for all tests that leave it alive."""
    async with open_app(retry=RetryPolicy(retry_on=judge)) as opened:
        yield opened


async def ended(app: App, what: str, text: str = "", number: int = 0) -> TaskRecord:
    submitted = await app.plant.submit(Do(what=what, text=text, number=number))
    return await app.plant.wait(submitted.id, timeout=LONG)


async def result(app: App, what: str, text: str = "", number: int = 0) -> str:
    submitted = await app.plant.submit(Do(what=what, text=text, number=number))
    return await app.plant.result(submitted, timeout=LONG)


@asynccontextmanager
async def hearing(app: App) -> AsyncGenerator[EventStream[Any]]:
    async with app.scheduler.events() as events:
        with anyio.fail_after(LONG.total_seconds()):
            yield events


async def said(events: EventStream[Any], *tasks: TaskId) -> list[str]:
    """What the next progress of each task says: they are under way."""
    heard: dict[TaskId, str] = {}
    async for event in events:
        if isinstance(event, Progress):
            heard.setdefault(event.header.id, event.message or "")
        if heard.keys() >= {*tasks}:
            break
    return [heard[task] for task in tasks]


async def until_gone(pid: int) -> None:
    """Wait until a process has ended; it may be nobody's child here."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        with anyio.fail_after(LONG.total_seconds()):
            await anyio.wait_readable(process)
    finally:
        os.close(process)


async def until_none_is_left(pool: ProcessExecutor) -> None:
    """Wait until workers that end have ended and are forgotten."""
    for pid in pool.pids():
        await until_gone(pid)
    with anyio.fail_after(LONG.total_seconds()):
        while pool.pids():
            await anyio.lowlevel.checkpoint()


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("odd", "tests.executors.app.Odd", "1-2"),
        ("clumsy", "tests.executors.app.Clumsy", "status 503, locked: False"),
        ("slotted", "tests.executors.app.Slotted", "7"),
        ("path", "tests.executors.app.PathError", "[Errno 28] no space: '/full'"),
        ("file", "FileNotFoundError", "[Errno 2] No such file or directory: '/nowhere'"),
        (
            "unicode",
            "UnicodeDecodeError",
            "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte",
        ),
        ("import", "ModuleNotFoundError", "No module named 'nowhere'"),
        ("group", "ExceptionGroup", "several (2 sub-exceptions)"),
    ],
)
async def test_an_error_comes_out_of_a_worker_as_it_was_raised(
    app: App, name: str, kind: str, message: str
) -> None:
    judge.seen.clear()
    record = await ended(app, "throw", name)
    assert record.status is TaskStatus.DEAD
    assert record.last_error is not None
    assert (record.last_error.type, record.last_error.message) == (kind, message)
    assert record.reason == f"failed once: {kind.rpartition('.')[2]}: {message}"
    first, second, *_ = record.last_error.traceback.splitlines()
    frames = (first + second).removeprefix("  + Exception Group ").removeprefix("Traceback")
    assert "in do" in frames or "in throw" in frames
    assert "taskmill/executors" not in record.last_error.traceback
    [seen] = judge.seen
    assert type(seen) is type(module.MADE[name]())


async def test_an_error_brings_its_attributes_to_whoever_judges_it(app: App) -> None:
    judge.seen.clear()
    for name in ("odd", "clumsy", "slotted", "path", "file", "import", "group"):
        await ended(app, "throw", name)
    odd, clumsy, slotted, path, file, imported, group = judge.seen
    assert isinstance(odd, module.Odd)
    assert (odd.left, odd.right) == (1, 2)
    assert isinstance(clumsy, module.Clumsy)
    assert clumsy.status == 503
    assert isinstance(slotted, module.Slotted)
    assert slotted.code == 7
    assert isinstance(path, module.PathError)
    assert (path.errno, path.filename) == (28, "/full")
    assert isinstance(file, FileNotFoundError)
    assert (file.errno, file.filename) == (2, "/nowhere")
    assert isinstance(imported, ModuleNotFoundError)
    assert imported.name == "nowhere"
    assert isinstance(group, ExceptionGroup)
    assert [type(error) for error in group.exceptions] == [ValueError, module.Odd]


async def test_an_error_of_a_class_that_is_not_known_here_keeps_its_name(app: App) -> None:
    judge.seen.clear()
    record = await ended(app, "throw_local")
    assert record.last_error is not None
    assert record.last_error.type == "tests.executors.app.throw_local.<locals>.Local"
    assert record.last_error.message == "of no other place"
    [seen] = judge.seen
    assert isinstance(seen, RemoteError)


async def test_the_causes_of_an_error_are_in_its_traceback(app: App) -> None:
    record = await ended(app, "throw_chained")
    assert record.last_error is not None
    assert "tests.executors.app.Odd: 1-2\n\nThe above exception" in record.last_error.traceback


@pytest.mark.parametrize("what", ["throw_itself", "throw_nested", "recurse", "exhaust"])
async def test_an_error_that_is_hard_to_pack_is_recorded_and_the_worker_goes_on(
    app: App, what: str
) -> None:
    before = await result(app, "pid")
    record = await ended(app, what, number=500)
    assert record.status is TaskStatus.DEAD, record.reason
    assert await result(app, "pid") == before


async def test_what_handlers_raise_to_say_something_works_in_a_worker(app: App) -> None:
    for name, status in {
        "permanent": TaskStatus.FAILED,
        "cancel": TaskStatus.CANCELLED,
        "base": TaskStatus.FAILED,
        "interrupt": TaskStatus.FAILED,
        "exit": TaskStatus.FAILED,
        "stopped": TaskStatus.FAILED,
    }.items():
        assert (await ended(app, "throw", name)).status is status, name
    assert await result(app, "throw_once", "snooze") == "run 2, attempt 1"
    later = await app.plant.submit(Do(what="throw_once"), max_retries=1)
    assert await app.plant.result(later, timeout=LONG) == "run 2, attempt 2"


# --- what it says --------------------------------------------------------------------------------


async def test_what_a_worker_reports_is_in_events_and_snapshot_and_record(app: App) -> None:
    async with hearing(app) as events:
        submitted = await app.plant.submit(Do(what="report"))
        fractions: list[tuple[float, str | None]] = []
        async for event in events:
            if isinstance(event, Progress):
                fractions.append((event.fraction, event.message))
                if event.message == "half":
                    break
        assert fractions == [(0.75, None), (0.5, "half")]
        snapshot = await app.plant.snapshot()
        seen = snapshot.progress_of[submitted.id]
        assert (seen.reported, seen.message) == (0.5, "half")
        assert snapshot.bytes is not None
        assert (snapshot.bytes.done, snapshot.bytes.total) == (30, 40)
        await app.plant.cancel(submitted.id)
        record = await app.plant.wait(submitted.id)
    assert record.io is not None
    assert (record.io.read, record.io.written, record.io.received) == (1, 2, 3)


async def test_nonsense_that_a_handler_reports_is_its_own_error(app: App) -> None:
    record = await ended(app, "misreport")
    assert record.last_error is not None
    assert record.last_error.type == "TypeError"
    assert "in misreport" in record.last_error.traceback


async def test_a_flood_of_progress_leaves_the_event_loop_to_others(app: App) -> None:
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await anyio.sleep(0.001)
            beats += 1

    async with anyio.create_task_group() as group, hearing(app) as events:
        group.start_soon(beat)
        submitted = await app.plant.submit(Do(what="flood", number=10_000))
        async for event in events:
            if isinstance(event, Completed) and event.header.id == submitted.id:
                break
        group.cancel_scope.cancel()
    assert beats > 10


async def test_what_a_worker_says_before_it_dies_is_heard(caplog: pytest.LogCaptureFixture) -> None:
    async with open_app() as app:
        for number in (2000, 8000):
            record = await ended(app, "flood_and_die", number=number)
            assert record.result == '"lived"'
            assert record.io is not None
            assert record.io.read == number
    assert caplog.messages == []


async def test_log_records_of_a_worker_are_logged_here(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    caplog.set_level(logging.DEBUG, logger="tests.detailed")
    async with open_app() as app:
        assert await result(app, "log", number=10 * MIB) == "logged"
    extras, low, wrong, bound, long = caplog.records
    assert extras.getMessage() == "with extras"
    told = vars(extras)
    assert isinstance(told["odd"], module.Odd)
    assert told["lock"].startswith("<unlocked _thread.lock")
    assert "Unreadable" in told["bad"]
    assert told["mute"] == "<Mute>"
    assert low.getMessage() == "low, and wanted"
    assert "tests.executors.app.Odd: 1-2" in wrong.getMessage()
    context = vars(bound)
    assert (context["task_type"], context["attempt"], context["more"]) == ("plant::do", 1, 1)
    assert bound.name == "taskmill.task.plant.do"
    assert len(long.getMessage()) == 10 * MIB
    assert all(record.process != os.getpid() for record in caplog.records)


async def test_signal_handlers_speak_in_the_middle_of_what_is_said(
    app: App, caplog: pytest.LogCaptureFixture
) -> None:
    assert await result(app, "log_in_the_middle", number=3000) == "said it all"
    assert set(caplog.messages) == {"in the middle"}


async def test_a_report_that_a_signal_ends_does_not_break_the_next(app: App) -> None:
    record = await ended(app, "interrupt_reports", number=200)
    assert record.interruptions == 0
    assert record.result is not None
    assert record.io is not None
    assert record.io.read >= int(record.result.strip('"')) > 200


async def test_payloads_and_results_of_a_mebibyte_travel_and_larger_ones_do_not(app: App) -> None:
    large = "x" * (MIB - 100)
    assert await result(app, "echo", large) == large
    record = await ended(app, "echo", "x" * 1000, number=1100)
    assert record.status is TaskStatus.FAILED
    assert record.last_error is not None
    assert record.last_error.type == "taskmill.model.errors.PayloadTooLarge"


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("return_a_number", "expects str, got 5"),
        ("return_a_coroutine", "make the handler async def"),
    ],
)
async def test_a_result_of_another_type_fails_for_good(app: App, what: str, words: str) -> None:
    record = await ended(app, what)
    assert record.status is TaskStatus.FAILED
    assert record.last_error is not None
    assert words in record.last_error.message


# --- what it asks --------------------------------------------------------------------------------


async def test_a_worker_can_do_all_that_blocking_has(app: App) -> None:
    assert await result(app, "spawn") == "True spawn yes True"
    parent = await ended(app, "adopt")
    assert parent.status is TaskStatus.COMPLETED
    assert await app.plant.count(parent=parent.id, status=list(TaskStatus)) == 4


async def test_a_finalize_gets_what_the_handler_returned_and_its_childrens_results(
    app: App,
) -> None:
    submitted = await app.plant.submit(Fold(parts=3))
    assert await app.plant.result(submitted, timeout=LONG) == 1 + 2 + 3


async def test_on_cancel_runs_in_a_worker(app: App, tmp_path: Path) -> None:
    async with hearing(app) as events:
        submitted = await app.plant.submit(Fold(where=tmp_path / "undone"))
        await said(events, submitted.id)
        await app.plant.cancel(submitted.id)
        record = await app.plant.wait(submitted.id)
    assert record.status is TaskStatus.CANCELLED
    assert record.errors == ()
    assert (tmp_path / "undone").read_text() == f"settings {app.pool.pids()[0]} False"


async def test_what_cannot_be_done_in_a_worker_raises_and_says_what_to_do(app: App) -> None:
    lines = (await result(app, "advice")).splitlines()
    for line, words in zip(
        lines,
        [
            "InvalidState: nothing awaits ctx.spawn in a worker process; use ctx.blocking.spawn",
            "nothing awaits ctx.set_tags in a worker process; use ctx.blocking.set_tags",
            "nothing awaits ctx.run_in_thread in a worker process; call the function itself",
            "worker process; use ctx.blocking.submit",
            "worker process; use ctx.blocking.submit",
            "has no parent",
            "ConfigurationError: what submit was given cannot be sent",
            "InvalidDependency",
            "InvalidState: the state Socket cannot be copied into a worker process",
            "MissingStateError: no state of type Model",
        ],
        strict=True,
    ):
        assert words in line


async def test_a_call_that_a_signal_ends_does_not_leave_its_answer_to_the_next(app: App) -> None:
    assert await result(app, "interrupt_a_call", number=40) == "True True"


async def test_what_a_handler_leaves_running_cannot_speak_for_the_next_task(app: App) -> None:
    assert await result(app, "leave_a_thread") == "left"
    record = await ended(app, "meet_the_thread")
    assert record.result is not None
    assert "InvalidState: spawn: the handler that this belongs to has ended" in record.result
    assert record.io is None
    assert await app.plant.count(parent=record.id, status=list(TaskStatus)) == 0


async def test_states_are_copied_into_a_worker(app: App) -> None:
    assert await result(app, "use_state") == "settings 12 True"


async def test_each_worker_makes_the_states_that_are_its_own() -> None:
    pool = ProcessExecutor(1, state=module.make_model, max_tasks=2)
    async with open_app(pool=pool) as app:
        assert [await result(app, "use_model") for _ in range(3)] == ["1", "2", "1"]


async def test_a_worker_that_cannot_make_its_states_fails_its_task_and_says_so() -> None:
    for factory, kind, words in [
        (module.make_trouble, "ConnectionError", "no model to be had"),
        (module.make_nothing, "ConfigurationError", "returns the states, as [model], not None"),
    ]:
        async with open_app(pool=ProcessExecutor(1, state=factory)) as app:
            record = await ended(app, "echo")
            assert record.reason is not None
            assert record.reason.startswith(f"failed once: {kind}: ")
            assert words in record.reason


@LINUX
def test_there_is_a_worker_for_each_core_that_the_process_may_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def three(pid: int) -> set[int]:
        return {1, 5, 7}

    monkeypatch.setattr(os, "sched_getaffinity", three)
    assert ProcessExecutor().capacity == 3


def test_a_state_function_that_no_worker_would_find_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="cannot be found by its name"):
        ProcessExecutor(state=lambda: [module.Model()])
    nothing: Any = [module.Model()]
    with pytest.raises(ConfigurationError, match="state takes a function"):
        ProcessExecutor(state=nothing)


# --- ways to write a handler ---------------------------------------------------------------------


async def test_handlers_of_every_kind_are_found_by_workers() -> None:
    domain = Domain(Plant, handlers=[*KINDS.values()])
    pool = ProcessExecutor(1)
    async with Scheduler(":memory:", domains=[domain], executors={"process": pool}) as scheduler:
        for task in KINDS:
            submitted = await scheduler.submit(task())
            assert await scheduler.result(submitted, timeout=LONG) == task.task_name


@pytest.mark.parametrize(
    ("handler", "words"),
    [
        (module.closure(), "'plant::partial', .*closure.*cannot be found by its name"),
        (module.coroutine, "is async def, which runs in the event loop"),
        (module.nameless, "define it at the top level of a module"),
    ],
)
def test_a_handler_that_no_worker_would_find_is_refused(handler: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Scheduler(
            ":memory:",
            domains=[Domain(Plant, handlers=[handler])],
            executors={"process": ProcessExecutor(1)},
        )


async def test_a_module_that_only_this_process_has_is_named_in_the_error() -> None:
    home = types.ModuleType("tests.executors.nowhere")
    run = types.FunctionType(module.shout.__code__, vars(home), "run")
    run.__module__, run.__qualname__ = home.__name__, "run"
    vars(home)["run"] = run
    domain = Domain(Plant, handlers=[Partial.handler(run)], retry=RetryPolicy.constant(0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, home.__name__, home)
        async with Scheduler(
            ":memory:", domains=[domain], executors={"process": ProcessExecutor(1)}
        ) as scheduler:
            submitted = await scheduler.submit(Partial())
            record = await scheduler.wait(submitted.id, timeout=LONG)
    assert record.reason == (
        "failed once: ConfigurationError: a worker process cannot import its handler: "
        "ModuleNotFoundError: No module named 'tests.executors.nowhere'"
    )


async def test_an_executor_runs_the_handlers_of_the_scheduler_that_is_open() -> None:
    pool = ProcessExecutor(1)

    def scheduler_of(handler: Any) -> Scheduler:
        domain = Domain(Plant, handlers=[handler])
        return Scheduler(":memory:", domains=[domain], executors={"process": pool})

    first, second = map(scheduler_of, (KINDS[Partial], Partial.handler(module.shout)))
    async with first:
        submitted = await first.submit(Partial())
        assert await first.result(submitted, timeout=LONG) == "partial"
        with pytest.raises(InvalidState, match="make one for each scheduler"):
            async with second:
                pass


# --- how it ends ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "text", "number"),
    [
        ("die", "0", 0),
        ("die", "3", 0),
        ("die", "", int(signal.SIGKILL)),
        ("crash", "", 0),
        ("close_everything", "", 0),
    ],
)
async def test_a_worker_that_dies_interrupts_its_own_task_alone(
    app: App, what: str, text: str, number: int
) -> None:
    record = await ended(app, what, text, number)
    assert record.result == '"run 2, attempt 1"'
    assert record.interruptions == 1
    assert record.errors == ()


async def test_a_task_at_which_workers_keep_dying_is_dead_and_says_how(app: App) -> None:
    record = await ended(app, "die_always")
    assert record.status is TaskStatus.DEAD
    assert record.reason is not None
    assert record.reason.startswith("interrupted 2 times while it ran; last: worker process ")
    assert record.reason.endswith("exited with status 3 in the middle of the handler")


async def test_a_worker_leaves_signals_for_the_scheduler_to_the_scheduler(app: App) -> None:
    before = await result(app, "pid")
    assert await result(app, "survive") == "survived"
    assert await result(app, "pid") == before


async def test_a_handler_may_change_its_process(app: App) -> None:
    before = await result(app, "change_the_process")
    assert await result(app, "pid") == before
    assert await result(app, "use_state") == "settings 12 True"


async def test_what_a_handler_forks_is_no_worker(
    app: App, caplog: pytest.LogCaptureFixture
) -> None:
    record = await ended(app, "fork")
    assert record.result is not None
    assert "InvalidState: children is for the process that runs the handler" in record.result
    assert record.io is None
    assert caplog.messages == []
    assert await result(app, "echo", "next") == "next"


async def test_a_worker_is_gone_when_it_is_though_what_it_forked_lives_on(app: App) -> None:
    async with hearing(app) as events:
        submitted = await app.plant.submit(Do(what="fork_and_die"))
        [child] = map(int, await said(events, submitted.id))
        try:
            record = await app.plant.wait(submitted.id)
        finally:
            with suppress(ProcessLookupError):  # where the worker's group was ended, and reaped
                os.kill(child, signal.SIGKILL)
    assert record.result == '"again"'


@LINUX
async def test_a_program_that_a_handler_starts_has_its_signals_and_not_our_socket(
    app: App,
) -> None:
    blocked, ignored, sockets = (await result(app, "start_a_program")).splitlines()
    assert int(blocked.split()[1], 16) == 0
    stopping = 1 << (signal.SIGINT - 1) | 1 << (signal.SIGTERM - 1)
    assert not int(ignored.split()[1], 16) & stopping
    assert sockets == "0"


@LINUX
@pytest.mark.parametrize("how", ["stop", "die"])
async def test_a_program_that_a_handler_waits_for_does_not_outlive_its_worker(how: str) -> None:
    async with open_app() as app, hearing(app) as events:
        submitted = await app.plant.submit(Do(what="wait_for_a_program", text=how))
        [pid] = await said(events, submitted.id)
        if how == "stop":
            await app.plant.cancel(submitted.id)
        await until_gone(int(pid))


# --- how it is stopped ---------------------------------------------------------------------------


SHORTER_THAN_A_START = timedelta(milliseconds=300)
"""To start Python and import the tests' modules takes longer; to echo, by far not as long."""


async def test_the_start_of_a_worker_does_not_count_towards_the_timeout_of_its_task() -> None:
    async with open_app() as app:
        submitted = await app.plant.submit(Do(what="echo"), timeout=SHORTER_THAN_A_START)
        record = await app.plant.wait(submitted.id)
        assert record.status is TaskStatus.COMPLETED, record.reason


async def test_a_cancelled_handler_stops_or_is_killed() -> None:
    async with open_app() as app, hearing(app) as events:
        for what, is_killed in [
            ("wait", False),
            ("finish_when_told", False),
            ("stick_in_python", True),
            ("stick_in_c", True),
        ]:
            submitted = await app.plant.submit(Do(what=what))
            [pid] = await said(events, submitted.id)
            assert await app.plant.cancel(submitted.id)
            record = await app.plant.wait(submitted.id)
            assert record.status is TaskStatus.CANCELLED
            assert (int(pid) not in app.pool.pids()) is is_killed, what


async def test_a_timeout_ends_a_handler_in_the_middle_of_c_code() -> None:
    async with open_app() as app:
        await result(app, "echo")
        submitted = await app.plant.submit(Do(what="stick_in_c"), timeout=SOON)
        record = await app.plant.wait(submitted.id, timeout=LONG)
    assert record.status is TaskStatus.DEAD
    assert record.reason == f"failed once: TimeoutError: ran for longer than its timeout of {SOON}"


async def test_an_on_cancel_that_sticks_is_killed_when_its_grace_is_over() -> None:
    async with open_app() as app, hearing(app) as events:
        submitted = await app.plant.submit(module.Stubborn())
        await said(events, submitted.id)
        await app.plant.cancel(submitted.id)
        record = await app.plant.wait(submitted.id)
    assert record.status is TaskStatus.CANCELLED
    assert record.last_error is not None
    assert record.last_error.message == f"on_cancel ran for longer than its cancel_grace of {SOON}"


async def test_an_on_cancel_waits_until_a_process_can_be_started(tmp_path: Path) -> None:
    pool = ProcessExecutor(1, max_tasks=1)
    async with virtual_time() as clock, open_app(pool=pool, clock=clock) as app:
        async with app.scheduler.events() as events:
            submitted = await app.plant.submit(Fold(where=tmp_path / "undone"))
            await said(events, submitted.id)
        with refusing(subprocess, "Popen"):
            await app.plant.cancel(submitted.id)
            await anyio.sleep(3)
            assert (await app.plant.get(submitted.id)).status is TaskStatus.RUNNING
        record = await app.plant.wait(submitted.id)
    assert (record.status, record.errors) == (TaskStatus.CANCELLED, ())
    assert (tmp_path / "undone").exists()


async def test_a_task_is_cancelled_while_its_worker_starts() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a socket that is left open says so
        for turns in (0, 1, 2, 5):
            async with open_app() as app, hearing(app) as events:
                submitted = await app.plant.submit(Do(what="echo"))
                async for event in events:
                    if type(event).__name__ == "Dispatched":
                        break
                for _ in range(turns):
                    await anyio.lowlevel.checkpoint()
                assert await app.plant.cancel(submitted.id)
                record = await app.plant.wait(submitted.id)
                assert record.status is TaskStatus.CANCELLED
        gc.collect()


async def test_many_tasks_are_cancelled_paused_and_preempted_at_once() -> None:
    pool = ProcessExecutor(2, kill_after=SOON)
    async with open_app(pool=pool, max_concurrency=2) as app, hearing(app) as events:
        many = [Do(what="wait", number=number) for number in range(20)]
        submitted = await app.plant.submit_many(many)
        first = submitted[0].id
        await said(events, first)
        await app.plant.pause()
        await app.scheduler.idle()
        assert (await app.plant.get(first)).attempt == 0
        await app.plant.resume()
        await said(events, first)
        urgent = await app.plant.submit(Do(what="echo", text="urgent"), priority=0)
        assert await app.plant.result(urgent) == "urgent"
        assert len(await app.plant.cancel_all()) == 20
        await app.scheduler.idle()
        assert await app.plant.count(status=TaskStatus.CANCELLED) == 20


@LINUX
@pytest.mark.parametrize("mode", [Stop(), Drain(SOON)])
async def test_a_shutdown_puts_back_what_runs_in_workers_and_ends_them(
    tmp_path: Path, mode: Stop | Drain
) -> None:
    pool = ProcessExecutor(2, kill_after=SOON)
    async with open_app(str(tmp_path / "app.db"), pool=pool) as app, hearing(app) as events:
        stuck = await app.plant.submit(Do(what="stick_in_c"))
        good = await app.plant.submit(Do(what="wait"))
        pids = await said(events, stuck.id, good.id)
        assert {str(pid) for pid in pool.pids()} == {*pids}
        app.scheduler.stop(mode)
    assert pool.pids() == []
    for pid in pids:
        assert not Path(f"/proc/{pid}").exists()
    async with open_without_handlers(str(tmp_path / "app.db")) as app:
        for each in (stuck, good):
            record = await app.plant.get(each.id)
            assert (record.status, record.attempt) == (TaskStatus.PENDING, 0)
            assert (record.errors, record.interruptions) == ((), 0)


# --- recycling, leaks, refusals ------------------------------------------------------------------


async def test_workers_are_replaced_when_they_hold_too_much_memory() -> None:
    async with open_app(pool=ProcessExecutor(1, max_memory=MIB)) as app:
        assert await result(app, "pid") != await result(app, "pid")


@LINUX
@pytest.mark.nightly
async def test_a_worker_that_hangs_at_its_exit_is_killed() -> None:
    async with open_app(pool=ProcessExecutor(1, max_tasks=1)) as app:
        pid = int(await result(app, "hang_at_exit"))
        assert await result(app, "pid") != str(pid)
        await until_gone(pid)


@LINUX
@pytest.mark.parametrize("workers", [3, pytest.param(200, marks=pytest.mark.nightly)])
async def test_workers_leave_no_descriptors_threads_or_processes(workers: int) -> None:
    keepers = keeping()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = -1
        async with open_app(pool=ProcessExecutor(1, max_tasks=1)) as app:
            for number in range(workers):
                assert await result(app, "echo", "x") == "x"
                if number == 0:
                    before = await resources(app.pool)
            assert await resources(app.pool) <= before + 1
        gc.collect()
    for thread in keeping() - keepers:
        thread.join(LONG.total_seconds())
        assert not thread.is_alive()


def keeping() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "taskmill-keeper"}


async def resources(pool: ProcessExecutor) -> int:
    """How many descriptors and threads there are when no worker is left."""
    await until_none_is_left(pool)
    gc.collect()
    return descriptors() + threading.active_count()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@LINUX
async def test_idle_workers_that_die_are_forgotten_and_leave_nothing_open() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        async with open_app() as app:
            await result(app, "echo")
            before = descriptors()
            for _ in range(2):
                [pid] = app.pool.pids()
                os.kill(pid, signal.SIGKILL)
                await until_none_is_left(app.pool)
                await result(app, "echo")
            gc.collect()
            assert descriptors() <= before


@contextmanager
def refusing(where: object, name: str) -> Generator[None]:
    """Have the system refuse what a new worker needs, as long as the block lasts."""
    real = getattr(where, name)

    def refuse(*args: Any, **options: Any) -> Any:
        if where is threading.Thread:
            [thread] = args
            if thread.name != "taskmill-keeper":
                return real(thread)
            raise RuntimeError("can't start new thread")
        raise OSError(24, "Too many open files")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(where, name, refuse)
        yield


@pytest.mark.parametrize(
    ("where", "name"),
    [(subprocess, "Popen"), (socket, "socketpair"), (threading.Thread, "start")],
)
async def test_tasks_run_elsewhere_while_no_process_can_be_started(
    where: object, name: str
) -> None:
    pool = ProcessExecutor(1, fallback="spare")
    async with virtual_time() as clock:
        executors = {"spare": ThreadExecutor()}
        async with open_app(pool=pool, executors=executors, clock=clock) as app:
            with refusing(where, name):
                submitted = await app.plant.submit(Do(what="pid"))
                assert await app.plant.result(submitted) == str(os.getpid())
                record = await app.plant.get(submitted.id)
                assert (record.attempt, record.interruptions, record.errors) == (1, 0, ())
                down = (await app.scheduler.snapshot()).executors["process"].down
                assert down is not None
                assert down.startswith("no process can be started: ")
            await anyio.sleep(5)
            assert (await app.scheduler.snapshot()).executors["process"].down is None


async def test_tasks_wait_and_say_why_while_no_process_can_be_started() -> None:
    async with virtual_time() as clock, open_app(clock=clock) as app:
        with refusing(subprocess, "Popen"):
            submitted = await app.plant.submit(Do(what="echo", text="late"))
            await anyio.sleep(2)
            told = await app.plant.explain(submitted.id)
            assert [hold.gate for hold in told.holds] == ["unroutable"]
            assert "no process can be started" in told.sentence
        assert await app.plant.result(submitted) == "late"
        assert (await app.plant.get(submitted.id)).attempt == 1


async def test_workers_run_in_virtual_time() -> None:
    domain = Domain(Plant, handlers=[module.do])
    async with scheduler_in_memory(
        domain, executors={"process": ProcessExecutor(1, kill_after=SOON)}
    ) as scheduler:
        submitted = await scheduler.submit(Do(what="echo", text="x"), delay=timedelta(days=1))
        assert await scheduler.result(submitted) == "x"
        stuck = await scheduler.submit(Do(what="stick_in_c"))
        async with scheduler.events() as events:
            await said(events, stuck.id)
        await scheduler.cancel(stuck.id)
        assert (await scheduler.wait(stuck.id)).status is TaskStatus.CANCELLED


async def test_a_payload_that_does_not_fit_any_more_is_held(tmp_path: Path) -> None:
    path = str(tmp_path / "app.db")
    async with open_app(path) as app:
        submitted = await app.plant.submit(Do(what="echo"), delay=timedelta(milliseconds=1))
        await app.plant.pause()
    with sqlite3.connect(path) as database:
        database.execute("UPDATE taskmill_tasks SET payload = '{\"what\": 3}'")
    database.close()
    async with open_app(path) as app:
        await app.plant.resume()
        await app.scheduler.idle()
        record = await app.plant.get(submitted.id)
    assert (record.status, record.attempt) == (TaskStatus.PENDING, 0)
    assert record.stage.is_unreadable
    assert record.last_error is not None
    assert record.last_error.type.endswith(PayloadError.__name__)


# --- whole programs ------------------------------------------------------------------------------


class Service:
    """A program that runs a scheduler, in a process group of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def pids(self, count: int) -> list[int]:
        """What the first acts say that are under way: process ids."""
        assert self.process.stdout is not None
        found: list[int] = []
        lines: list[str] = []
        for line in self.process.stdout:
            lines.append(line)
            if line.startswith("task "):
                found.append(int(line.split()[2]))
            if len(found) == count:
                return found
        pytest.fail(f"the service ended; it said {lines}")

    def rest(self) -> str:
        """All that it says until nobody is left who could say more."""
        assert self.process.stdout is not None
        return self.process.stdout.read()


@contextmanager
def program(*arguments: str, paths: Iterable[Path] = ()) -> Generator[Service]:
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [*paths, ROOT]))},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    )
    with process:
        try:
            yield Service(process)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def service(path: Path, *acts: str, paths: Iterable[Path] = ()) -> AbstractContextManager[Service]:
    return program("-m", "tests.executors.service", str(path), *acts, paths=paths)


@LINUX
async def test_control_c_ends_a_service_and_its_workers_without_noise(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    with service(path, "wait", "stick_in_c", "stick_in_python") as running:
        pids = running.pids(1)  # others are still starting
        os.killpg(running.process.pid, signal.SIGINT)
        said = running.rest().splitlines()
        assert running.process.wait() == 0
    noise = [line for line in said if not line.startswith("task ")]
    assert noise == ["closed"], "\n".join(noise)
    pids += [int(line.split()[2]) for line in said if line.startswith("task ")]
    for pid in pids:
        assert not Path(f"/proc/{pid}").exists()
    async with open_without_handlers(str(path)) as app:
        waiting = await app.plant.tasks()
        assert len(waiting) >= 2
        assert all((record.attempt, record.errors) == (0, ()) for record in waiting)


@LINUX
async def test_workers_die_with_a_killed_service_also_in_c_code(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    with service(path, "stick_in_c") as running:
        [pid] = running.pids(1)
        running.process.kill()
        await until_gone(pid)
    async with open_app(str(path)) as app, hearing(app) as events:
        [task] = await app.plant.ids()
        await said(events, task)
        assert (await app.plant.get(task)).run == 2
        await app.plant.cancel(task)


WITHOUT_PRCTL = """
import ctypes

class Library:
    def prctl(self, *_):
        return 0

load = ctypes.CDLL
ctypes.CDLL = lambda name, *args, **options: load(name, *args, **options) if name else Library()
"""


@LINUX
async def test_an_opening_waits_for_workers_that_outlive_their_service(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "app.db"
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_PRCTL)
    opened = anyio.Event()

    async def reopen() -> None:
        async with open_without_handlers(str(path)):
            opened.set()

    with service(path, "fork_and_stick", paths=[tmp_path]) as running:
        [child] = running.pids(1)
        worker = parent_of(child)
        running.process.kill()
        running.process.wait()
        async with anyio.create_task_group() as group:
            group.start_soon(reopen)
            with anyio.fail_after(LONG.total_seconds()):
                while not any("waiting for them to end" in each for each in caplog.messages):
                    await anyio.lowlevel.checkpoint()
            assert not opened.is_set()
            os.kill(worker, signal.SIGKILL)
            with anyio.fail_after(LONG.total_seconds()):
                await opened.wait()
        assert Path(f"/proc/{child}").exists()  # it is no worker: nobody waits for it
        os.kill(child, signal.SIGKILL)
        await until_gone(child)


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


MAIN = """
import multiprocessing
import anyio
from datetime import timedelta
from taskmill import *

class Main(DomainKey, name="main"): ...

class Job(Task[Main, str], name="job", executor="process"): ...

class Mine(Exception): ...

class Model: ...

def make():
    return [Model()]

@Job.handler
def job(task, ctx):
    ctx.state(Model)
    raise Mine("of the main module")

async def main():
    retry = RetryPolicy.constant(1, retry_on=(Mine,))
    domain = Domain(Main, handlers=[job], retry=retry)
    pool = ProcessExecutor(1, state=make)
    async with Scheduler(PATH, domains=[domain], executors={"process": pool}) as scheduler:
        submitted = await scheduler.submit(Job())
        record = await scheduler.wait(submitted.id)
        print(record.reason)
        print(record.last_error.type, record.last_error.traceback)
    print("start method:", multiprocessing.get_start_method(allow_none=True))

print("imported", flush=True)
"""


@pytest.mark.parametrize(
    ("path", "start", "imported", "words"),
    [
        (
            ":memory:",
            'if __name__ == "__main__": anyio.run(main)',
            2,
            [
                "failed 2 times; last: Mine: of the main module\n__main__.Mine Traceback",
                "start method: None",
            ],
        ),
        (
            ":memory:",
            "anyio.run(main)",
            2,
            ["InvalidState: this process only imports", "belongs under `if __name__ == "],
        ),
        (
            "app.db",
            "anyio.run(main)",
            2,
            ["StoreInUse: ", "belongs under `if __name__ == '__main__':`"],
        ),
    ],
)
def test_a_script_is_imported_by_its_workers_and_not_started_again(
    tmp_path: Path, path: str, start: str, imported: int, words: list[str]
) -> None:
    script = tmp_path / "script.py"
    where = path if path == ":memory:" else str(tmp_path / path)
    script.write_text(f"PATH = {where!r}\n{MAIN}\n{start}\n")
    with program(str(script)) as running:
        said = running.rest()
        assert running.process.wait() == 0
    for word in words:
        assert word in said
    assert said.count("imported\n") == imported
    assert "__mp_main__" not in said


@pytest.mark.parametrize("start", ["anyio.run(main)", "ProcessExecutor(state=make)"])
def test_what_is_defined_on_a_command_line_is_refused_at_once(start: str) -> None:
    with program("-c", f"PATH = ':memory:'\n{MAIN}\n{start}\n") as running:
        said = running.rest()
        assert running.process.wait() == 1
    assert "ConfigurationError" in said.splitlines()[-1]
    assert "in an interactive session" in said
