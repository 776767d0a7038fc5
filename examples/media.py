"""Three domains on one scheduler: media is fetched, processed, and people are told."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import attrs

from taskmill import (
    Aging,
    Clock,
    Context,
    Domain,
    DomainHandle,
    DomainKey,
    GroupPolicy,
    OnDependencyFailure,
    Permanent,
    Priority,
    RetryPolicy,
    Scheduler,
    Submitted,
    Task,
    TaskId,
)

JOB = "media.job"


@attrs.define
class Library:
    """What all domains share: where the files are."""

    files: dict[str, str] = attrs.field(factory=dict[str, str])


# --- ingest ---


class Ingest(DomainKey, name="ingest"):
    """Getting media."""


@attrs.frozen(kw_only=True)
class IngestConfig:
    """How a URL becomes bytes; raises OSError where that failed for now."""

    download: Callable[[str], Awaitable[str]]


class Fetch(Task[Ingest, str], name="fetch"):
    """Download a file into the library; the result is its path."""

    job: str
    url: str

    def task_tags(self) -> Mapping[str, str]:
        return {JOB: self.job}


@Fetch.handler
async def fetch(task: Fetch, ctx: Context[Ingest]) -> str:
    content = await ctx.state(IngestConfig).download(task.url)
    if not content:
        raise Permanent(f"there is nothing at {task.url}")
    path = f"{task.job}/source"
    ctx.state(Library).files[path] = content
    analytics = ctx.find_domain(Analytics)
    if analytics is not None:
        await analytics.submit(Count(job=task.job, what="fetched"))
    return path


def ingest_domain(config: IngestConfig) -> Domain[Ingest]:
    return Domain(
        Ingest,
        handlers=[fetch],
        state=[config],
        max_concurrency=4,
        retry=RetryPolicy.exponential(5, base=timedelta(seconds=1), retry_on=OSError),
    )


# --- process ---


class Process(DomainKey, name="process"):
    """Making of it what people watch."""


@attrs.frozen(kw_only=True)
class ProcessConfig:
    """How a rendition is made of a source."""

    encode: Callable[[str, int], Awaitable[str]]
    heights: tuple[int, ...] = (480, 1080)


class Transcode(Task[Process, list[str]], name="transcode"):
    """Make all renditions of a job; the result is where they are."""

    job: str

    def task_tags(self) -> Mapping[str, str]:
        return {JOB: self.job}


class Render(Task[Process, str], name="render", timeout=timedelta(hours=1)):
    """Make one rendition."""

    job: str
    height: int


class Thumbnails(Task[Process, int], name="thumbnails", priority=Priority.NORMAL):
    """Make small pictures; the result is how many."""

    job: str

    def task_tags(self) -> Mapping[str, str]:
        return {JOB: self.job}


async def split(task: Transcode, ctx: Context[Process]) -> tuple[int, ...]:
    heights = ctx.state(ProcessConfig).heights
    await ctx.spawn_many([Render(job=task.job, height=height) for height in heights])
    return heights


async def join(task: Transcode, heights: tuple[int, ...], ctx: Context[Process]) -> list[str]:
    children = await ctx.children()
    ctx.log.info("%d renditions", len(children))
    paths = [f"{task.job}/{height}" for height in heights]
    ctx.state(Library).files[f"{task.job}/manifest"] = " ".join(paths)
    return paths


transcode = Transcode.handler(split, finalize=join)


@Render.handler
async def render(task: Render, ctx: Context[Process]) -> str:
    files = ctx.state(Library).files
    path = f"{task.job}/{task.height}"
    source = files[f"{task.job}/source"]
    files[path] = await ctx.state(ProcessConfig).encode(source, task.height)
    return path


@Thumbnails.handler
async def thumbnails(task: Thumbnails, ctx: Context[Process]) -> int:
    files = ctx.state(Library).files
    for number in range(3):
        ctx.progress_of(number, 3)
        files[f"{task.job}/thumbnail-{number}"] = files[f"{task.job}/source"][:number]
    return 3


def process_domain(config: ProcessConfig) -> Domain[Process]:
    return Domain(
        Process,
        handlers=[transcode, render, thumbnails],
        state=[config],
        max_concurrency=8,
        priority=Priority.BACKGROUND,
        group="processing",
        retry=RetryPolicy.constant(2),
    )


# --- notify ---


class Notify(DomainKey, name="notify"):
    """Telling people."""


@attrs.frozen(kw_only=True)
class NotifyConfig:
    """How a message is sent."""

    send: Callable[[str, str], Awaitable[None]]


class Tell(Task[Notify], name="tell"):
    """Tell somebody something about a job."""

    job: str
    to: str
    text: str

    def task_tags(self) -> Mapping[str, str]:
        return {JOB: self.job}


@Tell.handler
async def tell(task: Tell, ctx: Context[Notify]) -> None:
    await ctx.state(NotifyConfig).send(task.to, task.text)


def notify_domain(config: NotifyConfig) -> Domain[Notify]:
    return Domain(
        Notify,
        handlers=[tell],
        state=[config],
        priority=Priority.HIGH,
        retry=RetryPolicy.exponential(
            8, base=timedelta(seconds=5), max_delay=timedelta(minutes=5), retry_on=OSError
        ),
    )


# --- analytics, which an application may leave out ---


class Analytics(DomainKey, name="analytics"):
    """Counting what happened."""


class Count(Task[Analytics], name="count"):
    """Count one thing that happened to a job."""

    job: str
    what: str


@Count.handler
async def count(task: Count, ctx: Context[Analytics]) -> None:
    files = ctx.state(Library).files
    files[f"analytics/{task.what}"] = files.get(f"analytics/{task.what}", "") + "|"


def analytics_domain() -> Domain[Analytics]:
    return Domain(Analytics, handlers=[count], priority=Priority.IDLE)


# --- the application ---


def media_scheduler(
    path: str,
    *,
    ingest: IngestConfig,
    process: ProcessConfig,
    notify: NotifyConfig,
    more: Sequence[Domain[Any]] = (),
    max_concurrency: int = 16,
    clock: Clock | None = None,
) -> Scheduler:
    """The three domains, and what else an installation has, on one scheduler."""
    return Scheduler(
        path,
        domains=[ingest_domain(ingest), process_domain(process), notify_domain(notify), *more],
        state=[Library()],
        max_concurrency=max_concurrency,
        groups={"processing": GroupPolicy(weight=1, min_slots=2)},
        group_default=GroupPolicy(weight=3),
        aging=Aging(),
        clock=clock,
    )


@attrs.frozen(kw_only=True)
class Job:
    """The tasks that a job begins with."""

    fetch: Submitted[str]
    transcode: Submitted[list[str]]
    thumbnails: Submitted[int]
    tell: Submitted[None]


async def begin(scheduler: Scheduler, job: str, url: str, to: str) -> Job:
    """Have a file fetched and processed, and tell somebody when it can be watched."""
    process = scheduler.domain(Process)
    fetched = await scheduler.domain(Ingest).submit(Fetch(job=job, url=url))
    transcoded = await process.submit(Transcode(job=job), depends_on=[fetched])
    pictured = await process.submit(Thumbnails(job=job), depends_on=[fetched])
    told = await scheduler.domain(Notify).submit(
        Tell(job=job, to=to, text=f"{job} can be watched"), depends_on=[transcoded]
    )
    return Job(fetch=fetched, transcode=transcoded, thumbnails=pictured, tell=told)


async def tell_in_any_case(scheduler: Scheduler, job: Job, name: str, to: str) -> Submitted[None]:
    """Tell somebody when a job is over, however it ended."""
    return await scheduler.domain(Notify).submit(
        Tell(job=name, to=to, text=f"{name} is over"),
        depends_on=[job.transcode, job.thumbnails],
        on_dependency_failure=OnDependencyFailure.IGNORE,
    )


async def what_is_left(scheduler: Scheduler, job: str) -> dict[str, int]:
    """How many tasks of a job have not ended, in each domain."""
    handles: list[DomainHandle[Any]] = [
        scheduler.domain(Ingest),
        scheduler.domain(Process),
        scheduler.domain(Notify),
    ]
    return {handle.name: await handle.count(tags={JOB: job}) for handle in handles}


async def give_up(scheduler: Scheduler, job: str) -> list[TaskId]:
    """Cancel what has not ended of a job, in all domains, in one transaction."""
    return await scheduler.cancel_where(tags={JOB: job})
