"""What another version of the code cannot read is held, seen, costs nothing, and runs after the
fix."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from taskmill import (
    Context,
    Domain,
    DomainKey,
    Handler,
    InterruptCause,
    Interrupted,
    RetryPolicy,
    Scheduler,
    Task,
    TaskId,
    TaskStatus,
)
from taskmill.testing import FakeClock, virtual_time

pytestmark = pytest.mark.anyio

DAY = timedelta(days=1)


class Mail(DomainKey, name="mail"): ...


class Send(Task[Mail, str], name="send"):
    to: str
    copies: int = 1


class Retyped(Task[Mail, str], name="send"):
    to: int
    copies: int = 1


class Shorter(Task[Mail, str], name="send"):
    to: str


class Longer(Task[Mail, str], name="send"):
    to: str
    copies: int = 1
    urgent: bool


class Grown(Task[Mail, str], name="send"):
    to: str
    copies: int = 1
    urgent: bool = False


class Renamed(Task[Mail, str], name="post"):
    to: str
    copies: int = 1


class Other(Task[Mail, str], name="other"):
    text: str = "x"


async def say(task: Any, ctx: Context[Mail]) -> str:
    return repr(task)


@Other.handler
async def other(task: Other, ctx: Context[Mail]) -> str:
    return task.text


def scheduler_of(
    path: Path, clock: FakeClock, *tasks: type[Task[Mail, str]], **options: Any
) -> Scheduler:
    """A version of the program: one that knows ``tasks``."""
    handlers: Iterable[Handler[Mail]] = [task.handler(say) for task in tasks]
    domain = Domain(Mail, handlers=[*handlers, other])
    options.setdefault("poll_interval", DAY)
    return Scheduler(path, domains=[domain], clock=clock, loop_limit=None, **options)


async def leave(
    path: Path, clock: FakeClock, *tasks: Task[Mail, Any], **options: Any
) -> list[TaskId]:
    """Submit by the old code what the new one finds."""
    async with scheduler_of(path, clock, Send) as scheduler:
        await scheduler.pause()
        submitted = await scheduler.submit_many(tasks, **options)
    return [each.id for each in submitted]


@pytest.mark.parametrize(
    ("task", "says"),
    [
        (Retyped, "Retyped.to: expects int, got 'a' (str)"),
        (Shorter, "Shorter.copies: is a field that Shorter does not have"),
        (Longer, "Longer.urgent: is missing, and Longer has no default for it"),
    ],
)
async def test_a_task_whose_fields_do_not_fit_is_held_and_runs_after_the_fix(
    tmp_path: Path, task: type[Task[Mail, str]], says: str
) -> None:
    path = tmp_path / "app.db"
    async with virtual_time() as clock:
        [id_] = await leave(path, clock, Send(to="a"), max_retries=0)
        for _ in range(3):
            async with scheduler_of(path, clock, task) as scheduler, scheduler.events() as events:
                await scheduler.resume()
                async for event in events:
                    if isinstance(event, Interrupted):
                        break
                else:
                    raise AssertionError("it was not tried")
                assert event.cause is InterruptCause.UNREADABLE
                assert await scheduler.result(await scheduler.submit(Other())) == "x"
                await scheduler.idle()
                record = await scheduler.get(id_)
                told = await scheduler.explain(id_)
                shot = await scheduler.snapshot()
            assert (record.status, record.attempt) == (TaskStatus.PENDING, 0)
            assert record.last_error is not None
            assert says in record.last_error.message
            assert says in str(told)
            assert told.holds[0].gate == "payload"
            assert shot.pending_count == 1
        async with scheduler_of(path, clock, Send) as scheduler:
            [fixed] = [s for s in [await scheduler.get(id_)] if s.status is not TaskStatus.DEAD]
            record = await scheduler.wait(fixed.id)
            assert record.status is TaskStatus.COMPLETED
            assert (record.attempt, record.run) == (1, 4)


async def test_a_removed_or_renamed_type_is_held_and_runs_when_it_is_back(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    async with virtual_time() as clock:
        [id_] = await leave(path, clock, Send(to="a"))
        async with scheduler_of(path, clock, Renamed) as scheduler:
            await scheduler.resume()
            await scheduler.idle()
            record, told = await scheduler.get(id_), await scheduler.explain(id_)
            assert (record.status, record.run) == (TaskStatus.PENDING, 0)
            assert "No domain here has a handler for 'mail::send'" in str(told)
        async with scheduler_of(path, clock, Send) as scheduler:
            assert (await scheduler.wait(id_)).status is TaskStatus.COMPLETED


async def test_a_new_field_with_a_default_changes_nothing_for_what_is_stored(
    tmp_path: Path,
) -> None:
    path = tmp_path / "app.db"
    async with virtual_time() as clock:
        [id_] = await leave(path, clock, Send(to="a"))
        async with scheduler_of(path, clock, Grown) as scheduler:
            await scheduler.resume()
            record = await scheduler.wait(id_)
        assert record.result == "\"Grown(to='a', copies=1, urgent=False)\""


async def test_held_tasks_take_no_slot_and_keep_their_order_among_themselves(
    tmp_path: Path,
) -> None:
    path = tmp_path / "app.db"
    async with virtual_time() as clock:
        ids = await leave(path, clock, *[Send(to=str(n)) for n in range(50)])
        async with scheduler_of(path, clock, Retyped, max_concurrency=1) as scheduler:
            await scheduler.resume()
            assert await scheduler.result(await scheduler.submit(Other())) == "x"
            await scheduler.idle()
            assert await scheduler.count(status=TaskStatus.PENDING) == 50
            assert all(r.attempt == 0 for r in await scheduler.tasks(limit=100))
            assert await scheduler.cancel(ids[0])
            await scheduler.reprioritise(ids[-1], 1)
        async with scheduler_of(path, clock, Send, max_concurrency=1) as scheduler:
            await scheduler.idle()
            ended = await scheduler.history(limit=100)
        runs = [r for r in ended if r.status is TaskStatus.COMPLETED and r.type == "mail::send"]
        runs.sort(key=lambda r: (r.started_at, r.id))
        assert {r.id for r in runs} == {*ids[1:]}


async def test_a_person_can_have_a_held_task_tried_again_or_end_it(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    async with virtual_time() as clock:
        one, two = await leave(path, clock, Send(to="a"), Send(to="b"))
        async with scheduler_of(path, clock, Retyped) as scheduler:
            await scheduler.resume()
            await scheduler.idle()
            async with scheduler.events() as events:
                await scheduler.retry(one)
                async for event in events:
                    if isinstance(event, Interrupted):
                        assert event.header.id == one
                        break
            await scheduler.idle()
            assert (await scheduler.get(one)).run == 2
            assert await scheduler.cancel(two)
            assert (await scheduler.get(two)).status is TaskStatus.CANCELLED


async def test_a_held_task_expires_like_any_that_waits(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    async with virtual_time() as clock:
        [id_] = await leave(path, clock, Send(to="a"), ttl=DAY)
        async with scheduler_of(path, clock, Retyped) as scheduler:
            await scheduler.resume()
            await scheduler.idle()
            record = await scheduler.wait(id_)
            assert record.status is TaskStatus.EXPIRED


async def test_what_depends_on_a_held_task_waits_with_it(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    async with virtual_time() as clock:
        async with scheduler_of(path, clock, Send) as scheduler:
            await scheduler.pause()
            first = await scheduler.submit(Send(to="a"))
            after = await scheduler.submit(Other(), depends_on=[first.id])
        async with scheduler_of(path, clock, Retyped) as scheduler:
            await scheduler.resume()
            await scheduler.idle()
            assert (await scheduler.get(after.id)).status is TaskStatus.BLOCKED
        async with scheduler_of(path, clock, Send) as scheduler:
            assert (await scheduler.wait(after.id)).status is TaskStatus.COMPLETED


class Count(Task[Mail, int], name="count"):
    to: str = "x"


async def test_what_a_handler_returned_for_its_finalize_is_held_where_it_does_not_fit(
    tmp_path: Path,
) -> None:
    path = tmp_path / "app.db"

    async def run(task: Count, ctx: Context[Mail]) -> str:
        await ctx.spawn(Other(), delay=DAY)
        return "seven"

    async def finish(task: Count, made: str, ctx: Context[Mail]) -> int:
        return len(made)

    async def run_new(task: Count, ctx: Context[Mail]) -> int:
        return 7

    async def finish_new(task: Count, made: int, ctx: Context[Mail]) -> int:
        return made

    def of(handler: Handler[Mail], clock: FakeClock) -> Scheduler:
        domain = Domain(Mail, handlers=[handler, other], retry=RetryPolicy.constant(2, DAY))
        return Scheduler(
            path, domains=[domain], clock=clock, loop_limit=None, poll_interval=50 * DAY
        )

    async with virtual_time() as clock:
        async with of(Count.handler(run, finalize=finish), clock) as scheduler:
            task = await scheduler.submit(Count())
            await scheduler.idle()
            assert (await scheduler.get(task.id)).status is TaskStatus.WAITING
        clock.jump(2 * DAY)
        async with of(Count.handler(run_new, finalize=finish_new), clock) as scheduler:
            await scheduler.idle()
            record = await scheduler.get(task.id)
            assert (record.status, record.attempt) == (TaskStatus.PENDING, 0)
            assert (await scheduler.explain(task.id)).holds[0].gate == "payload"
        async with of(Count.handler(run, finalize=finish), clock) as scheduler:
            assert await scheduler.result(task) == 5
