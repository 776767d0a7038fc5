"""What happens to a task from its claim to its settlement."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import Any

import anyio
import pytest

from taskmill import (
    ConfigurationError,
    Context,
    Domain,
    DomainKey,
    Handler,
    MissingStateError,
    RetryAfter,
    RetryPolicy,
    Scheduler,
    Task,
    TaskFailed,
    TaskRecord,
    TaskStatus,
    UnknownDomainError,
)
from taskmill.testing import virtual_time
from tests.engine.app import SECOND, Errand, Fail, Nap, Work, open_app

pytestmark = pytest.mark.anyio


class One(DomainKey, name="one"): ...


class Do(Task[One, Any], name="do"):
    value: int = 0


async def record_of(handler: Handler[One], **options: Any) -> TaskRecord:
    """Run one task with this handler to its end."""
    async with virtual_time() as clock:
        domain = Domain(One, handlers=[handler], state=[frozenset({"domain state"})])
        async with Scheduler(":memory:", domains=[domain], state=["app"], clock=clock) as scheduler:
            one = scheduler.domain(One)
            submitted = await one.submit(Do(value=7), **options)
            return await one.wait(submitted.id)


async def test_a_result_comes_back_with_its_type() -> None:
    async with open_app() as app:
        submitted = await app.work.submit(Nap(name="a", seconds=3))
        assert await app.work.result(submitted) == "a"
        assert app.seconds() == 3
        record = await app.work.get(submitted.id)
        assert record.status is TaskStatus.COMPLETED
        assert record.duration == 3 * SECOND
        assert (record.attempt, record.run) == (1, 1)


async def test_a_plain_function_runs_in_a_thread_and_can_use_its_context_there() -> None:
    seen: list[object] = []

    @Do.handler
    def handle(task: Do, ctx: Context[One]) -> int:
        ctx.progress_of(1, 2, "half")
        ctx.check()
        seen.extend([threading.current_thread() is threading.main_thread(), ctx.state(str)])
        return task.value * 2

    record = await record_of(handle)
    assert record.result == "14"
    assert seen == [False, "app"]


async def test_state_is_looked_up_in_the_domain_first_and_then_in_the_app() -> None:
    @Do.handler
    async def handle(task: Do, ctx: Context[One]) -> list[str]:
        return [*ctx.state(frozenset), ctx.state(str)]

    assert (await record_of(handle)).result == '["domain state","app"]'


async def test_missing_state_names_the_type_and_both_places() -> None:
    @Do.handler
    async def handle(task: Do, ctx: Context[One]) -> None:
        with pytest.raises(MissingStateError, match=r"dict.*'one'.*Scheduler"):
            ctx.state(dict)

    assert (await record_of(handle)).status is TaskStatus.COMPLETED


async def test_three_retries_are_four_attempts_with_growing_delays_and_end_as_dead() -> None:
    async with open_app() as app:
        submitted = await app.work.submit(Fail())
        record = await app.work.wait(submitted.id)
        assert app.seconds() == 1 + 2 + 4
    assert record.status is TaskStatus.DEAD
    assert (record.attempt, record.run) == (4, 4)
    assert [error.message for error in record.errors] == [
        f"no luck in run {run}" for run in (1, 2, 3, 4)
    ]
    assert record.reason == "failed 4 times; last: ValueError: no luck in run 4"


async def test_a_retry_that_succeeds_completes_and_keeps_its_errors() -> None:
    async with open_app() as app:
        submitted = await app.work.submit(Fail(times=2))
        record = await app.work.wait(submitted.id)
    assert record.status is TaskStatus.COMPLETED
    assert len(record.errors) == 2
    assert "raise ValueError" in record.errors[0].traceback
    assert "taskmill/engine" not in record.errors[0].traceback


async def test_the_policy_of_a_call_beats_the_one_of_the_domain() -> None:
    domain = {"retry": RetryPolicy.constant(9, SECOND)}
    async with open_app(domain=domain) as app:
        own = await app.work.submit(Fail(name="own"), retry=RetryPolicy.constant(1, 10 * SECOND))
        number = await app.work.submit(Fail(name="number"), max_retries=2)
        inherited = await app.work.submit(Fail(name="inherited"))
        assert (await app.work.wait(number.id)).attempt == 3
        assert app.seconds() == 2
        assert (await app.work.wait(inherited.id)).attempt == 10
        assert app.seconds() == 9
        assert (await app.work.wait(own.id)).attempt == 2
        assert app.seconds() == 10


async def test_a_retry_without_delay_goes_through_the_queue_like_any_other() -> None:
    async with open_app(max_concurrency=1) as app:
        await app.work.submit(Fail(times=2), retry=RetryPolicy.constant(5))
        await app.scheduler.idle()
        assert app.board.started == ["attempt 1", "attempt 2", "attempt 3"]
        assert app.seconds() == 0


async def test_permanent_is_not_retried() -> None:
    async with open_app() as app:
        submitted = await app.work.submit(Fail(permanent=True))
        record = await app.work.wait(submitted.id)
        assert record.status is TaskStatus.FAILED
        assert (record.attempt, record.reason) == (1, "told to")
        with pytest.raises(TaskFailed, match=r"fail.*ended as failed: told to"):
            await app.work.result(submitted)


async def test_retry_after_sets_the_delay_of_this_retry() -> None:
    @Do.handler
    async def handle(task: Do, ctx: Context[One]) -> str:
        if ctx.attempt == 1:
            raise RetryAfter(timedelta(minutes=7))
        return "done"

    record = await record_of(handle)
    assert record.status is TaskStatus.COMPLETED
    assert record.started_at is not None
    assert record.started_at - record.created_at == timedelta(minutes=7)


async def test_a_timeout_cancels_the_handler_and_counts_as_a_failure() -> None:
    async with open_app() as app:
        submitted = await app.work.submit(
            Nap(name="long", seconds=100), timeout=5 * SECOND, max_retries=1
        )
        record = await app.work.wait(submitted.id)
        assert record.status is TaskStatus.DEAD
        assert record.last_error is not None
        assert record.last_error.type == "TimeoutError"
        assert app.board.stopped == ["long", "long"]
        assert app.seconds() == 5 + 1 + 5


async def test_a_timeout_of_milliseconds_comes_when_it_says() -> None:
    async with open_app() as app:
        short = timedelta(milliseconds=5)
        late = await app.work.submit(Nap(name="long", seconds=100), timeout=short, max_retries=0)
        await app.work.wait(late.id)
        assert app.seconds() == pytest.approx(0.005, abs=0.001)


async def test_a_handler_that_ends_in_time_is_not_touched_by_its_timeout() -> None:
    async with open_app() as app:
        await app.work.submit(Nap(name="quick", seconds=4), timeout=5 * SECOND)
        await app.scheduler.idle()
        await anyio.sleep(10)
        assert await app.work.count(status=TaskStatus.COMPLETED) == 1


async def test_a_deadline_tells_the_handler_when_its_timeout_comes() -> None:
    @Do.handler
    async def handle(task: Do, ctx: Context[One]) -> bool:
        started = ctx.record.started_at
        return started is not None and ctx.deadline == started + 5 * SECOND

    assert (await record_of(handle, timeout=5 * SECOND)).result == "true"


@pytest.mark.parametrize(
    "raised", [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError]
)
async def test_a_handler_that_raises_a_base_exception_fails_alone(
    raised: type[BaseException],
) -> None:
    @Do.handler
    async def handle(task: Do, ctx: Context[One]) -> None:
        raise raised

    record = await record_of(handle)
    assert record.status is TaskStatus.FAILED
    assert record.last_error is not None
    assert record.last_error.type.endswith(raised.__name__)


async def test_a_result_that_does_not_fit_its_type_fails_the_task_and_says_so() -> None:
    class Count(Task[One, int], name="count"): ...

    def wrong(task: Any, ctx: Any) -> Any:
        return "not a number"

    async with (
        virtual_time() as clock,
        Scheduler(
            ":memory:", domains=[Domain(One, handlers=[Count.handler(wrong)])], clock=clock
        ) as scheduler,
    ):
        submitted = await scheduler.submit(Count())
        record = await scheduler.wait(submitted.id)
    assert record.status is TaskStatus.FAILED
    assert record.reason is not None
    assert "result" in record.reason


async def test_a_huge_error_message_is_bounded() -> None:
    @Do.handler
    async def handle(task: Do, ctx: Context[One]) -> None:
        raise ValueError("x" * 10_000_000 + "\ud800")

    record = await record_of(handle, max_retries=0)
    assert record.status is TaskStatus.DEAD
    assert record.last_error is not None
    assert len(record.last_error.message) <= 4096
    assert len(record.last_error.traceback) <= 16 * 1024


async def test_an_error_whose_text_cannot_be_had_is_recorded_all_the_same() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    @Do.handler
    async def handle(task: Do, ctx: Context[One]) -> None:
        raise Mute

    record = await record_of(handle, max_retries=0)
    assert record.last_error is not None
    assert "raised RuntimeError" in record.last_error.message


async def test_fences_only_grow_over_runs_and_openings(tmp_path: Any) -> None:
    fences: list[int] = []

    @Do.handler
    async def handle(task: Do, ctx: Context[One]) -> None:
        fences.append(ctx.fence)
        if ctx.attempt < 3:
            raise ValueError

    for _ in range(2):
        async with (
            virtual_time() as clock,
            Scheduler(
                tmp_path / "app.db", domains=[Domain(One, handlers=[handle])], clock=clock
            ) as scheduler,
        ):
            await scheduler.submit(Do())
            await scheduler.idle()
    assert len(fences) == 6
    assert fences == sorted(set(fences))
    assert fences[0] == 1 << 32 | 1
    assert fences[-1] == 2 << 32 | 3


async def test_a_child_knows_its_parent_and_takes_over_the_tags_it_does_not_set() -> None:
    @Do.handler
    async def handle(task: Do, ctx: Context[One]) -> list[int]:
        if task.value != 7:
            return []
        first = await ctx.spawn(Do(value=1), tags={"own": "child"})
        many = await ctx.spawn_many([Do(value=2), Do(value=3)], tags=None)
        return [first.id, *(child.id for child in many)]

    async with (
        virtual_time() as clock,
        Scheduler(
            ":memory:",
            domains=[Domain(One, handlers=[handle], tags={"from": "domain"})],
            clock=clock,
        ) as scheduler,
    ):
        parent = await scheduler.submit(Do(value=7), tags={"job": "j1", "own": "parent"})
        children = [await scheduler.get(child) for child in await scheduler.result(parent)]
    assert [child.parent for child in children] == [parent.id] * 3
    assert children[0].tags == {"from": "domain", "job": "j1", "own": "child"}
    assert children[1].tags == {}


async def test_a_handler_reaches_other_domains_by_their_key() -> None:
    class Absent(DomainKey, name="absent"): ...

    results: list[object] = []

    @Do.handler
    async def handle(task: Do, ctx: Context[One]) -> None:
        results.append(ctx.find_domain(Absent))
        with pytest.raises(UnknownDomainError, match=r"'absent'.*one"):
            ctx.domain(Absent)
        results.append(ctx.domain(One).name)

    await record_of(handle)
    assert results == [None, "one"]


async def test_run_in_thread_waits_for_the_thread() -> None:
    @Do.handler
    async def handle(task: Do, ctx: Context[One]) -> int:
        return await ctx.run_in_thread(pow, 2, task.value)

    assert (await record_of(handle)).result == "128"


async def test_a_task_of_a_type_without_a_handler_here_is_refused() -> None:
    class Unknown(Task[Work], name="unknown"): ...

    async with open_app() as app:
        with pytest.raises(ConfigurationError, match=r"'work' has no task type .*Unknown"):
            await app.work.submit(Unknown())


async def test_a_waiting_task_whose_handler_was_removed_waits_and_runs_when_it_is_back(
    tmp_path: Any,
) -> None:
    path = str(tmp_path / "app.db")
    async with open_app(path) as app:
        later = await app.work.submit(Nap(name="later"), delay=10 * SECOND)
    async with virtual_time() as clock:
        clock.jump(60 * SECOND)

        class Lone(DomainKey, name="lone"): ...

        class Nothing(Task[Lone], name="nothing"): ...

        @Nothing.handler
        async def nothing(task: Nothing, ctx: Context[Lone]) -> None: ...

        domain = Domain(Lone, handlers=[nothing])
        async with Scheduler(path, domains=[domain], clock=clock) as scheduler:
            await scheduler.submit(Nothing())
            await scheduler.idle()
            assert (await scheduler.get(later.id)).status is TaskStatus.PENDING
    async with open_app(path) as app:
        app.clock.jump(60 * SECOND)
        assert await app.work.result(later) == "later"


async def test_tasks_of_every_domain_run_on_one_scheduler() -> None:
    async with open_app() as app:
        [nap, errand] = await app.scheduler.submit_many([Nap(name="x"), Errand(number=5)])
        assert await app.scheduler.result(errand) == 5
        assert await app.scheduler.result(nap) == "x"
