"""What subscribers hear, when, and in which order."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest

from taskmill import (
    Cancelled,
    Completed,
    Context,
    DeadLettered,
    Dispatched,
    Domain,
    Enqueued,
    Event,
    EventStream,
    Failed,
    InvalidState,
    Lagged,
    Progress,
    RetryPolicy,
    Scheduler,
    Stop,
    Task,
    TaskStatus,
    Unblocked,
)
from taskmill.engine.events.hub import BOUND
from taskmill.testing import virtual_time
from tests.engine.app import SECOND, Errand, Fail, Nap, Work, open_app

pytestmark = pytest.mark.anyio


async def unread(stream: EventStream[Any]) -> list[Any]:
    """What is on a stream now."""
    events: list[Any] = []
    with anyio.move_on_after(0):
        async for event in stream:
            events.append(event)  # noqa: PERF401 - keeps what came before the scope ends
    return events


def names(events: list[Any]) -> list[str]:
    return [type(event).__name__ for event in events]


async def test_the_events_of_a_life_come_in_order_and_carry_payload_and_result() -> None:
    async with open_app() as app, app.work.events(Nap) as events:
        submitted = await app.work.submit(Nap(name="x", seconds=2), tags={"job": "1"}, group="g")
        await app.work.result(submitted)
        found = await unread(events)
    assert names(found) == ["Enqueued", "Dispatched", "Completed"]
    for event in found:
        assert event.id == submitted.id
        assert event.task == Nap(name="x", seconds=2)
        assert (event.header.key, event.header.group) == ("x", "g")
        assert dict(event.header.tags) == {"job": "1"}
    match found[-1]:
        case Completed(result=result, duration=duration):
            assert (result, duration) == ("x", 2 * SECOND)
        case _:
            pytest.fail("no Completed")


async def test_failures_say_when_they_retry_and_end_as_a_dead_letter() -> None:
    async with open_app() as app, app.work.events() as events:
        await app.work.submit(Fail(), retry=RetryPolicy.constant(1, 3 * SECOND))
        await app.scheduler.idle()
        found = await unread(events)
    assert names(found) == ["Enqueued", "Dispatched", "Failed", "Dispatched", "DeadLettered"]
    failed, dead = found[2], found[4]
    assert isinstance(failed, Failed)
    assert isinstance(dead, DeadLettered)
    assert failed.will_retry
    assert failed.retry_at == failed.error.at + 3 * SECOND
    assert dead.error.message == "no luck in run 2"
    assert dead.header.attempt == 2


async def test_streams_are_by_type_by_domain_and_global() -> None:
    async with (
        open_app() as app,
        app.work.events(Nap) as naps,
        app.work.events() as work,
        app.scheduler.events(Errand) as errands,
        app.scheduler.events() as everything,
    ):
        await app.scheduler.submit_many([Nap(name="x"), Fail(times=0), Errand()])
        await app.scheduler.idle()
        counts = [len(await unread(stream)) for stream in (naps, work, errands, everything)]
    assert counts == [3, 6, 3, 9]


async def test_an_event_is_published_after_its_commit() -> None:
    async with open_app() as app, app.work.events() as events:
        submitted = await app.work.submit(Nap(name="x", seconds=1))
        statuses: list[TaskStatus] = []
        async for event in events:
            record = await app.work.get(submitted.id)
            statuses.append(record.status)
            if isinstance(event, Completed):
                break
    assert statuses[-1] is TaskStatus.COMPLETED
    assert statuses[1] in (TaskStatus.RUNNING, TaskStatus.COMPLETED)


async def test_a_slow_reader_loses_the_oldest_and_is_told_how_many() -> None:
    async with open_app() as app, app.other.events() as events:
        await app.other.submit_many(Errand(number=n) for n in range(1000))
        await app.scheduler.idle()
        first = await anext(events)
        assert first == Lagged(3 * 1000 - BOUND)
        rest = await unread(events)
        assert len(rest) == BOUND
        last = rest[-1]
        assert isinstance(last, Completed)
        await app.other.submit(Errand(number=-1))
        assert isinstance(await anext(events), Enqueued)


async def test_a_reader_hears_of_nothing_before_it_entered_nor_after_it_left() -> None:
    async with open_app() as app:
        await app.work.submit(Nap(name="before"))
        await app.scheduler.idle()
        stream = app.work.events()
        with pytest.raises(InvalidState, match="async with"):
            await anext(stream)
        async with stream:
            assert await unread(stream) == []
        await app.work.submit(Nap(name="after"))
        with pytest.raises(InvalidState):
            await anext(stream)


async def test_streams_end_when_the_scheduler_has_shut_down() -> None:
    found: list[Event] = []

    async def read(stream: EventStream[Event]) -> None:
        async with stream:
            found.extend([event async for event in stream])

    async with anyio.create_task_group() as group, open_app() as app:
        group.start_soon(read, app.scheduler.events())
        await anyio.lowlevel.checkpoint()
        await app.work.submit(Nap(name="x", seconds=3))
        await anyio.sleep(1)
    assert names(found) == ["Enqueued", "Dispatched", "Completed"]


async def test_progress_is_live_cut_to_its_range_and_comes_from_threads_too() -> None:
    class Steps(Task[Work], name="steps"): ...

    class Blocking(Task[Work], name="blocking"): ...

    @Steps.handler
    async def steps(task: Steps, ctx: Context[Work]) -> None:
        ctx.progress(-1)
        ctx.progress_of(1, 4, "a quarter")
        ctx.progress_of(0, 0)
        ctx.progress(7)

    @Blocking.handler
    def blocking(task: Blocking, ctx: Context[Work]) -> None:
        ctx.progress(0.5, "from a thread")

    domain = Domain(Work, handlers=[steps, blocking])
    async with (
        Scheduler(":memory:", domains=[domain]) as scheduler,
        scheduler.events() as events,
    ):
        await scheduler.submit_many([Steps(), Blocking()])
        await scheduler.idle()
        found = [event for event in await unread(events) if isinstance(event, Progress)]
    reports = [(event.header.label, event.fraction, event.message) for event in found]
    assert [report for report in reports if report[0] == "work::steps"] == [
        ("work::steps", 0.0, None),
        ("work::steps", 0.25, "a quarter"),
        ("work::steps", 1.0, None),
        ("work::steps", 1.0, None),
    ]
    assert ("work::blocking", 0.5, "from a thread") in reports


async def test_a_follow_up_is_announced_when_it_is_unblocked() -> None:
    async with open_app() as app, app.work.events() as events:
        await app.work.submit(Nap(name="x", seconds=5))
        await anyio.sleep(1)
        second = await app.work.submit(Nap(name="x"))
        await app.scheduler.idle()
        found = await unread(events)
    [unblocked] = [event for event in found if isinstance(event, Unblocked)]
    assert unblocked.id == second.id
    assert names(found).index("Unblocked") > names(found).index("Completed")


async def test_a_cancelled_waiting_task_is_announced_with_its_payload() -> None:
    async with open_app() as app, app.work.events() as events:
        submitted = await app.work.submit(Nap(name="x"), delay=5 * SECOND)
        await app.work.cancel(submitted.id)
        found = await unread(events)
    assert names(found) == ["Enqueued", "Cancelled"]
    cancelled = found[1]
    assert isinstance(cancelled, Cancelled)
    assert cancelled.task == Nap(name="x")
    assert cancelled.reason == "cancelled"


async def test_every_event_is_json_ready() -> None:
    async with open_app() as app, app.scheduler.events() as events:
        await app.work.submit(Nap(name="x"), tags={"a": "b"})
        await app.work.submit(Fail(), max_retries=1, delay=SECOND)
        await anyio.sleep(10)
        found = [*await unread(events), Lagged(3)]
    texts = [json.dumps(event.to_dict()) for event in found]
    assert json.loads(texts[0])["header"]["tags"] == {"a": "b"}
    assert json.loads(texts[-1]) == {"event": "Lagged", "count": 3}
    assert Dispatched.__name__ in texts[1]


async def test_a_run_that_a_stop_takes_back_before_it_began_is_no_event() -> None:
    async with open_app(shutdown=Stop()) as app, app.work.events() as events:
        async with anyio.create_task_group() as beside:
            beside.start_soon(app.work.submit, Nap(name="a", seconds=5))
            await anyio.wait_all_tasks_blocked()  # until it is being written, with its claim
            app.scheduler.stop()
        found = [event async for event in events]
    assert app.board.started == []
    assert names(found) == ["Enqueued"]


@pytest.mark.parametrize("fails", [False, True])
async def test_the_reason_of_a_cancellation_is_the_one_on_record(fails: bool) -> None:
    async def deaf(task: Nap, ctx: Context[Work]) -> str:
        try:
            await anyio.sleep(10)
        except anyio.get_cancelled_exc_class():
            if fails:
                raise ValueError from None
        return ""

    async with virtual_time() as clock:
        domain = Domain(Work, handlers=[Nap.handler(deaf)])
        async with (
            Scheduler(":memory:", domains=[domain], clock=clock) as scheduler,
            scheduler.events(Nap) as events,
        ):
            submitted = await scheduler.submit(Nap(name="a"))
            await anyio.sleep(1)
            await scheduler.cancel(submitted.id)
            record = await scheduler.wait(submitted.id)
            *_, cancelled = await unread(events)
    assert isinstance(cancelled, Cancelled)
    assert cancelled.reason == record.reason == "cancelled while running"


async def test_a_context_that_outlives_its_run_reports_no_progress() -> None:
    kept: list[Context[Work]] = []

    async def keep(task: Nap, ctx: Context[Work]) -> str:
        ctx.progress(0.5)
        kept.append(ctx)
        return ""

    async with virtual_time() as clock:
        domain = Domain(Work, handlers=[Nap.handler(keep)])
        async with (
            Scheduler(":memory:", domains=[domain], clock=clock) as scheduler,
            scheduler.events() as events,
        ):
            await scheduler.submit(Nap(name="a"))
            await scheduler.idle()
            kept[0].progress(0.6)
            found = await unread(events)
    assert names(found) == ["Enqueued", "Dispatched", "Progress", "Completed"]


async def test_a_stream_has_one_reader_at_a_time() -> None:
    async with open_app() as app, app.work.events() as events:
        async with anyio.create_task_group() as group:
            group.start_soon(anext, events)
            await anyio.sleep(1)
            with pytest.raises(InvalidState, match="being read already; give each reader one"):
                await anext(events)
            await app.work.submit(Nap(name="a", seconds=5))
        await anyio.sleep(1)
        assert names(await unread(events)) == ["Dispatched"]
