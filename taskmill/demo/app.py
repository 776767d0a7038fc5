"""How the three domains make one application: mounted on one scheduler, run as one graph.

::

    scan::directories  the root
    │   children: scan::directories, a few subdirectories each, to any depth
    │   finalize: adds up what is below; the root's also notes that the listing is whole
    ▼ depends_on
    digest::twins      depends also on a digest::twins that an earlier run left
    │   children: digest::files, a few files each that may have twins
    │   finalize: counts the tasks that failed
    ▼ depends_on
    report::write      depends on both

Every task has the run's tag, the children by inheritance; so ``cancel_where(tags=run.tags)``
cancels the graph as a whole.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import attrs
from anyio import to_thread

from taskmill import GroupPolicy, Progress, Scheduler, Stop, Submitted
from taskmill.demo.beside import beside
from taskmill.demo.digest import DigestConfig, DigestFiles, Digesting, DigestTwins, digest_domain
from taskmill.demo.leftovers import keep_digests
from taskmill.demo.paths import OwnFiles
from taskmill.demo.report import (
    Answer,
    ReportConfig,
    Reporting,
    WriteReport,
    answer_of,
    report_domain,
)
from taskmill.demo.scan import ListDirectories, ScanConfig, Scanning, scan_domain
from taskmill.demo.tally import Stage, Tally
from taskmill.demo.values import Run, Subtree

if TYPE_CHECKING:
    from taskmill.demo.catalogue import Catalogue


@attrs.frozen(kw_only=True)
class Settings:
    """What to read, and with what. ``root`` is absolute and without symlinks."""

    root: bytes
    own: OwnFiles
    concurrency: int


@attrs.frozen(kw_only=True)
class Found:
    """What came of a run. With ``failed_tasks`` the answer lacks what those were to find."""

    answer: Answer
    written: list[str]
    failed_tasks: int


@attrs.frozen(kw_only=True)
class Graph:
    """The three tasks that a run submits; all others are their children."""

    scan: Submitted[Subtree]
    digests: Submitted[int]
    report: Submitted[list[str]]


async def find_duplicates(settings: Settings, catalogue: Catalogue, tally: Tally) -> Found:
    """Find the duplicate files below a directory, going on from where any earlier run stopped.

    Raises StoreInUse while another run uses the same database.
    """
    run = Run(settings.root)
    await keep_digests(settings.own.database, run)
    async with (
        scheduler_of(settings, run, catalogue, tally) as scheduler,
        beside(partial(_note_large_files, scheduler, tally)),
    ):
        graph = await submit_graph(scheduler, run, tally)
        written = await scheduler.result(graph.report)
        listed, failed = await scheduler.result(graph.scan), await scheduler.result(graph.digests)
        answer = await to_thread.run_sync(answer_of, run, catalogue)
        return Found(answer=answer, written=written, failed_tasks=listed.failed + failed)


def scheduler_of(settings: Settings, run: Run, catalogue: Catalogue, tally: Tally) -> Scheduler:
    """The scheduler of a run, still closed."""
    return Scheduler(
        settings.own.database,
        domains=[
            scan_domain(ScanConfig(settings.own.paths())),
            digest_domain(DigestConfig()),
            report_domain(ReportConfig(json=settings.own.json, table=settings.own.table)),
        ],
        state=[catalogue, run, tally],
        max_concurrency=settings.concurrency,
        # A top directory is often a disk of its own: none may take all the places.
        group_default=GroupPolicy(max_concurrency=max(1, settings.concurrency // 2)),
        shutdown=Stop(),
    )


async def submit_graph(scheduler: Scheduler, run: Run, tally: Tally) -> Graph:
    """Submit a run. Digests that an earlier one left go on beside its listing."""
    digests = scheduler.domain(Digesting)
    left = await digests.ids(types=[DigestTwins])
    tally.inherit(Stage.DIGEST, await digests.count(types=[DigestFiles]))
    tally.expect(Stage.SCAN, 1)
    tally.expect(Stage.REPORT, 1)
    scan = await scheduler.domain(Scanning).submit(
        ListDirectories(run=run.id, paths=(run.root,)), tags=run.tags
    )
    twins = await digests.submit(DigestTwins(run=run.id), depends_on=[scan, *left], tags=run.tags)
    report = await scheduler.domain(Reporting).submit(
        WriteReport(run=run.id), depends_on=[scan, twins], tags=run.tags
    )
    return Graph(scan=scan, digests=twins, report=report)


async def _note_large_files(scheduler: Scheduler, tally: Tally) -> None:
    async with scheduler.domain(Digesting).events(DigestFiles) as events:
        async for event in events:
            match event:
                case Progress(header=header, fraction=fraction):
                    tally.reading(f"{fraction:.0%} of {header.label}" if fraction < 1 else None)
                case _:
                    pass
