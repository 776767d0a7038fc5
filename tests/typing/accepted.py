"""A program that both type checkers accept, with the types they see in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import assert_type

import attrs

from taskmill import (
    Completed,
    Context,
    Cursor,
    Domain,
    DomainHandle,
    DomainKey,
    Event,
    Failed,
    Handler,
    Lagged,
    Page,
    Priority,
    RetryPolicy,
    Scheduler,
    Secret,
    Submitted,
    Task,
    TaskEvent,
    TaskId,
    TaskRecord,
    TaskStatus,
)


class Ingest(DomainKey, name="ingest"): ...


class Process(DomainKey, name="process"): ...


class Fetch(Task[Ingest], name="fetch", priority=Priority.HIGH, timeout=None):
    """Payloads own the plain names."""

    url: str
    key: str = "k"
    tags: Mapping[str, str] = attrs.field(factory=dict[str, str])
    domain: str = "d"
    label: str = ""
    group: str = ""
    name: str = ""

    def task_key(self) -> str | None:
        return self.key


class Scan(Task[Ingest, list[str]], name="scan", timeout=timedelta(minutes=5)):
    root: str


class Look(Task[Ingest, "str | None"], name="look"):
    root: str


class Transcode(Task[Process], name="transcode", retry=RetryPolicy.constant(2)):
    source: str


@Fetch.handler
async def fetch(task: Fetch, ctx: Context[Ingest]) -> None:
    child = await ctx.spawn(Scan(root=task.url), group="scans", delay=timedelta(seconds=1))
    assert_type(child, Submitted[list[str]])
    await ctx.domain(Process).submit(Transcode(source=task.url), parent=ctx.id)
    assert_type(ctx.state(Config), Config)
    assert_type(await ctx.run_in_thread(len, "abc"), int)


class Config: ...


@Scan.handler
def scan(task: Scan, ctx: Context[Ingest]) -> list[str]:
    return [task.root]


@Look.handler
async def look(task: Look, ctx: Context[Ingest]) -> str:
    """A narrower result than the declared one is fine."""
    return task.root


@Transcode.handler
def transcode(task: Transcode, ctx: Context[Process]) -> None: ...


class Tally(Task[Ingest, int], name="tally"):
    root: str


async def tally(task: Tally, ctx: Context[Ingest]) -> list[str]:
    """What goes to finalize need not be the result."""
    await ctx.spawn_many([Scan(root=task.root)], priority=3)
    return [task.root]


async def tally_up(task: Tally, found: Sequence[str], ctx: Context[Ingest]) -> int:
    return len(found)


async def forget(task: Tally, ctx: Context[Ingest]) -> None: ...


def tally_plainly(task: Tally, ctx: Context[Ingest]) -> dict[str, int]:
    return {task.root: 1}


def tally_up_plainly(task: Tally, found: dict[str, int], ctx: Context[Ingest]) -> int:
    return sum(found.values())


def forget_plainly(task: Tally, ctx: Context[Ingest]) -> None: ...


async def number(task: Tally, ctx: Context[Ingest]) -> int:
    return 1


async def unfinished(task: Fetch, ctx: Context[Ingest]) -> list[int]:
    return [1]


async def finished(task: Fetch, numbers: list[int], ctx: Context[Ingest]) -> None: ...


assert_type(Tally.handler(tally, finalize=tally_up), Handler[Ingest])
assert_type(Tally.handler(tally, finalize=tally_up, on_cancel=forget), Handler[Ingest])
assert_type(Tally.handler(number, on_cancel=forget), Handler[Ingest])
assert_type(
    Tally.handler(tally_plainly, finalize=tally_up_plainly, on_cancel=forget_plainly),
    Handler[Ingest],
)
assert_type(Fetch.handler(unfinished, finalize=finished), Handler[Ingest])
assert_type(fetch, Handler[Ingest])
assert_type(scan, Handler[Ingest])

ingest_domain = Domain(Ingest, handlers=[fetch, scan, look], state=[Config()], max_concurrency=4)
process_domain = Domain(Process, handlers=[transcode], tags={"provider": "acme"}, group=None)
assert_type(ingest_domain, Domain[Ingest])


async def use(scheduler: Scheduler) -> None:
    ingest = scheduler.domain(Ingest)
    assert_type(ingest, DomainHandle[Ingest])
    first = await ingest.submit(Fetch(url="u"), timeout=None, tags={"job": "1"})
    second = await ingest.submit(
        Scan(root="/"), priority=3, run_at=datetime(2030, 1, 1, tzinfo=UTC)
    )
    third = await ingest.submit(Look(root="/"))
    assert_type(first, Submitted[None])
    assert_type(second, Submitted[list[str]])
    assert_type(third, Submitted[str | None])
    assert_type(await ingest.result(second), list[str])
    assert_type(await ingest.result(third, timeout=timedelta(seconds=1)), str | None)
    assert_type(await scheduler.submit(Scan(root="/")), Submitted[list[str]])
    await ingest.submit_many([Fetch(url="u"), Scan(root="/")], group=None)
    await scheduler.submit_many([Fetch(url="u"), Transcode(source="s")])
    await ingest.count(types=[Fetch, Scan], status=TaskStatus.PENDING, key="k", group=None)
    await ingest.cancel(TaskId(1))


async def read(scheduler: Scheduler, ingest: DomainHandle[Ingest]) -> None:
    page = await ingest.tasks(tags={"job": "1"}, tag_prefix="billing.", limit=5)
    assert_type(page, Page[TaskRecord])
    assert_type(page.items, tuple[TaskRecord, ...])
    assert_type(page.next, Cursor | None)
    assert_type(list(page), list[TaskRecord])
    await scheduler.tasks(after=page.next, types=[Fetch, Transcode])
    await scheduler.tasks(after="text that came back from a browser")
    assert_type(await ingest.ids(group="g"), list[TaskId])
    assert_type(await ingest.find(key="k"), TaskRecord | None)
    assert_type(await ingest.tag_keys("billing."), list[str])
    assert_type(await scheduler.tag_values("job"), dict[str, int])
    assert_type(await ingest.count_by_tag("job", key="k", status=TaskStatus.DEAD), dict[str, int])
    assert_type(await ingest.history(Fetch, limit=1, key="k"), Page[TaskRecord])
    assert_type(await scheduler.history(type=Transcode), Page[TaskRecord])
    assert_type(await ingest.dead_letters(10), Page[TaskRecord])
    assert_type(ingest.active_tasks(), list[TaskRecord])


async def listen(ingest: DomainHandle[Ingest]) -> None:
    async with ingest.events() as everything:
        async for event in everything:
            assert_type(event, Event)
    async with ingest.events(Scan) as scans:
        async for scanned in scans:
            assert_type(scanned, TaskEvent[Scan, list[str]] | Lagged)
            match scanned:
                case Completed(result=result):
                    assert_type(result, list[str])
                    assert_type(scanned.task, Scan)
                case Failed(error=error):
                    assert_type(error.message, str)
                case _:
                    pass


class Login(Task[Ingest, Secret[bytes]], name="login"):
    password: Secret[str]
    key: Secret[bytes] | None = None
    plain: Secret = Secret("text unless it says otherwise")


async def reveal(handle: DomainHandle[Ingest]) -> None:
    task = Login(password=Secret("p"), key=Secret(b"k"))
    assert_type(task.password.reveal(), str)
    assert_type(task.plain.reveal(), str)
    assert_type(await handle.result(await handle.submit(task)), Secret[bytes])
