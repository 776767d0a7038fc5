"""Handlers that do their worst: each fails alone, and the scheduler goes on."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from taskmill import (
    Context,
    Domain,
    DomainKey,
    PayloadError,
    PayloadTooLarge,
    Permanent,
    RetryPolicy,
    Scheduler,
    Task,
    TaskRecord,
    TaskStatus,
)
from taskmill.testing import virtual_time

pytestmark = pytest.mark.anyio


class One(DomainKey, name="one"): ...


class Do(Task[One, Any], name="do"):
    value: int = 0


class Well(Task[One, str], name="well"): ...


@Well.handler
async def well(task: Well, ctx: Context[One]) -> str:
    return "well"


async def ended(handle: Any, *, max_retries: int = 1) -> TaskRecord:
    """Run one task with this handler to its end; afterwards the scheduler still works."""
    async with virtual_time() as clock:
        domain = Domain(
            One, handlers=[Do.handler(handle), well], retry=RetryPolicy.constant(max_retries)
        )
        async with Scheduler(
            ":memory:", domains=[domain], clock=clock, max_concurrency=1
        ) as scheduler:
            submitted = await scheduler.submit(Do())
            with anyio.fail_after(60):
                record = await scheduler.wait(submitted.id)
                assert await scheduler.result(await scheduler.submit(Well())) == "well"
                await scheduler.idle()
            assert scheduler.active_tasks() == []
        return record


def current() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


async def cancel_and_raise(task: Do, ctx: Context[One]) -> None:
    current().cancel()
    raise ValueError("after cancelling itself")


async def cancel_and_return(task: Do, ctx: Context[One]) -> int:
    current().cancel()
    return 1


async def cancel_and_wait(task: Do, ctx: Context[One]) -> None:
    current().cancel()
    await anyio.sleep(1)


async def test_a_handler_that_cancels_its_own_task_and_raises_fails_with_its_error() -> None:
    record = await ended(cancel_and_raise)
    assert (record.status, record.attempt) == (TaskStatus.DEAD, 2)
    assert record.last_error is not None
    assert record.last_error.message == "after cancelling itself"


async def test_a_handler_that_cancels_its_own_task_and_returns_has_returned() -> None:
    assert (await ended(cancel_and_return)).result == "1"


async def test_a_cancellation_that_is_not_the_schedulers_is_a_failure_and_says_so() -> None:
    record = await ended(cancel_and_wait)
    assert (record.status, record.attempt) == (TaskStatus.DEAD, 2)
    assert record.reason is not None
    assert "cancelled, and not by the scheduler" in record.reason


async def test_tasks_cancelled_by_others_before_they_begin_end_all_the_same() -> None:
    ran: list[int] = []

    async def handle(task: Do, ctx: Context[One]) -> None:
        ran.append(task.value)

    async with virtual_time() as clock:
        domain = Domain(One, handlers=[Do.handler(handle)])
        async with Scheduler(":memory:", domains=[domain], clock=clock) as scheduler:
            before = asyncio.all_tasks()
            many = await scheduler.submit_many([Do(value=n) for n in range(20)])
            with anyio.fail_after(60):
                while not scheduler.active_tasks():
                    await anyio.lowlevel.checkpoint()
                cancelled = asyncio.all_tasks() - before
                for task in cancelled:
                    task.cancel()
                records = [await scheduler.wait(submitted.id) for submitted in many]
                await scheduler.idle()
    failed = [record for record in records if record.status is TaskStatus.FAILED]
    assert len(failed) + len(ran) == 20


def leave_open(*, cancel: bool, end: Callable[[], object]) -> Any:
    async def handle(task: Do, ctx: Context[One]) -> object:
        scope = anyio.CancelScope()
        scope.__enter__()
        if cancel:
            scope.cancel()
        return end()

    return handle


def boom() -> None:
    raise ValueError("boom")


@pytest.mark.parametrize("cancel", [False, True])
async def test_a_handler_that_leaves_a_cancel_scope_open_fails_and_is_told(cancel: bool) -> None:
    record = await ended(leave_open(cancel=cancel, end=lambda: 1))
    assert (record.status, record.attempt) == (TaskStatus.DEAD, 2)
    assert record.reason is not None
    assert "ended inside a cancel scope or task group" in record.reason


@pytest.mark.parametrize("cancel", [False, True])
async def test_an_error_out_of_an_open_cancel_scope_is_the_error(cancel: bool) -> None:
    record = await ended(leave_open(cancel=cancel, end=boom))
    assert record.reason == "failed 2 times; last: ValueError: boom"


async def test_a_handler_that_leaves_a_task_group_open_fails_and_is_told() -> None:
    async def handle(task: Do, ctx: Context[One]) -> None:
        group = anyio.create_task_group()
        await group.__aenter__()
        group.start_soon(anyio.sleep, 0.1)

    before = asyncio.all_tasks()
    record = await ended(handle)
    assert record.status is TaskStatus.DEAD
    assert record.reason is not None
    assert "ended inside a cancel scope or task group" in record.reason
    await asyncio.wait(asyncio.all_tasks() - before)  # what is left of its group
    gc.collect()


class Loud(Exception):
    def __str__(self) -> str:
        raise KeyboardInterrupt


class NoNotes(Exception):
    def __getattribute__(self, name: str) -> Any:
        if name == "__notes__":
            raise SystemExit
        return super().__getattribute__(name)


class NoModule(type):
    def __getattribute__(cls, name: str) -> Any:
        if name in ("__module__", "__qualname__"):
            raise RuntimeError
        return super().__getattribute__(name)


class Nameless(Exception, metaclass=NoModule): ...


class OddText(str):
    __slots__ = ()

    def encode(self, encoding: str = "", errors: str = "") -> bytes:
        raise RuntimeError(encoding, errors)


class Odd(Exception):
    def __str__(self) -> str:
        return OddText("odd")


class NoClass(Exception):
    @property
    def __class__(self) -> Any:
        raise RuntimeError

    @__class__.setter
    def __class__(self, value: Any) -> None: ...


def groups(depth: int) -> BaseException:
    errors: list[Exception] = [ValueError("leaf")]
    for _ in range(depth):
        errors = [ExceptionGroup("group", errors)]
    return errors[0]


def chain(length: int) -> BaseException:
    error: Exception | None = None
    for number in range(length):
        error, cause = ValueError(number), error
        error.__cause__ = cause
    assert error is not None
    return error


def no_end(depth: int = 0) -> int:
    return no_end(depth + 1) + 1


NO_PLACE: Any = ("file", "line", [], 5, 1, 1)
ERRORS: dict[str, Callable[[], BaseException]] = {
    "loud": Loud,
    "notes": NoNotes,
    "nameless": Nameless,
    "odd": Odd,
    "no class": NoClass,
    "groups": lambda: groups(3000),
    "chain": lambda: chain(5000),
    "interrupt": KeyboardInterrupt,
    "exit": SystemExit,
    "generator": GeneratorExit,
    "cancelled": asyncio.CancelledError,
    "stop": lambda: StopIteration(1),
    "stop async": StopAsyncIteration,
    "memory": MemoryError,
    "long": lambda: ValueError("x" * 10_000_000),
    "lines": lambda: ValueError("x\n" * 5_000_000),
    "syntax": lambda: SyntaxError("s", NO_PLACE),
    "text": lambda: Permanent("\ud800"),
}


@pytest.mark.parametrize("name", ERRORS)
async def test_whatever_a_coroutine_raises_it_fails_alone(name: str) -> None:
    async def handle(task: Do, ctx: Context[One]) -> None:
        raise ERRORS[name]()

    record = await ended(handle)
    assert record.status in (TaskStatus.FAILED, TaskStatus.DEAD)
    assert record.last_error is not None
    assert len(record.last_error.traceback) <= 16 * 1024


@pytest.mark.parametrize("name", ERRORS)
async def test_whatever_a_thread_raises_it_fails_alone(name: str) -> None:
    def handle(task: Do, ctx: Context[One]) -> None:
        raise ERRORS[name]()

    record = await ended(handle)
    assert record.status in (TaskStatus.FAILED, TaskStatus.DEAD)
    assert record.last_error is not None
    assert len(record.last_error.traceback) <= 16 * 1024


@pytest.mark.parametrize("fault", [no_end, lambda: bytearray(1 << 60)], ids=["recursion", "memory"])
async def test_what_python_itself_raises_fails_a_handler_alone(fault: Callable[[], object]) -> None:
    async def handle(task: Do, ctx: Context[One]) -> None:
        fault()

    record = await ended(handle)
    assert record.status is TaskStatus.DEAD
    assert record.last_error is not None
    assert record.last_error.type in ("RecursionError", "MemoryError")
    assert len(record.last_error.traceback) <= 16 * 1024


@pytest.mark.parametrize("name", ERRORS)
async def test_whatever_a_finalize_raises_it_fails_alone(name: str) -> None:
    async def execute(task: Do, ctx: Context[One]) -> int:
        return 1

    async def finalize(task: Do, memo: int, ctx: Context[One]) -> int:
        raise ERRORS[name]()

    async with virtual_time() as clock:
        handler = Do.handler(execute, finalize=finalize)
        domain = Domain(One, handlers=[handler, well], retry=RetryPolicy.constant(1))
        async with Scheduler(":memory:", domains=[domain], clock=clock) as scheduler:
            record = await scheduler.wait((await scheduler.submit(Do())).id)
            assert record.status in (TaskStatus.FAILED, TaskStatus.DEAD)
            assert await scheduler.result(await scheduler.submit(Well())) == "well"


@pytest.mark.parametrize("name", ERRORS)
async def test_whatever_an_on_cancel_raises_the_task_is_cancelled(name: str) -> None:
    async def execute(task: Do, ctx: Context[One]) -> None:
        await anyio.sleep(1000)

    async def undo(task: Do, ctx: Context[One]) -> None:
        raise ERRORS[name]()

    async with virtual_time() as clock:
        domain = Domain(One, handlers=[Do.handler(execute, on_cancel=undo), well])
        async with Scheduler(":memory:", domains=[domain], clock=clock) as scheduler:
            submitted = await scheduler.submit(Do())
            await anyio.sleep(1)
            await scheduler.cancel(submitted.id)
            assert (await scheduler.wait(submitted.id)).status is TaskStatus.CANCELLED
            assert await scheduler.result(await scheduler.submit(Well())) == "well"


async def test_what_an_error_does_when_asked_for_its_text_is_on_record() -> None:
    async def handle(task: Do, ctx: Context[One]) -> None:
        raise Loud

    record = await ended(handle)
    assert record.last_error is not None
    assert record.last_error.message == "<str() of this error raised KeyboardInterrupt>"
    assert record.last_error.type.endswith(".Loud")
    assert "raise Loud" in record.last_error.traceback


@pytest.mark.parametrize("error", [PayloadError, PayloadTooLarge])
async def test_a_payload_error_of_an_inner_call_follows_the_retry_policy(
    error: type[Exception],
) -> None:
    async def handle(task: Do, ctx: Context[One]) -> int:
        if ctx.attempt < 3:
            raise error("of something that the handler submits")
        return 1

    record = await ended(handle, max_retries=2)
    assert (record.status, record.attempt) == (TaskStatus.COMPLETED, 3)
