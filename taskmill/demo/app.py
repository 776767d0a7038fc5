"""How the three domains make one application: mounted on one scheduler, run in three stages.

`Scheduler.idle` is what separates the stages: files can only be compared when all are listed, and
the answer only written when all digests are known.
"""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

import attrs
from anyio import to_thread

from taskmill import GroupPolicy, Progress, Scheduler, Stop, TaskStatus
from taskmill.demo.beside import beside
from taskmill.demo.digest import DigestConfig, DigestFile, Digesting, digest_domain
from taskmill.demo.paths import OwnFiles, top_directory
from taskmill.demo.report import (
    Answer,
    ReportConfig,
    Reporting,
    WriteReport,
    answer_of,
    report_domain,
)
from taskmill.demo.scan import CHUNK, ListDirectory, ScanConfig, Scanning, scan_domain
from taskmill.demo.tally import Stage, Tally
from taskmill.demo.values import Run, SeenFile

if TYPE_CHECKING:
    from taskmill.demo.catalogue import Catalogue

UNFINISHED = (TaskStatus.FAILED, TaskStatus.DEAD)


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


async def find_duplicates(settings: Settings, catalogue: Catalogue, tally: Tally) -> Found:
    """Find the duplicate files below a directory, going on from where any earlier run stopped.

    Raises StoreInUse while another run uses the same database.
    """
    run = Run(settings.root)
    async with (
        Scheduler(
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
        ) as scheduler,
        beside(partial(_note_large_files, scheduler, tally)),
    ):
        failed_before = await _failed_tasks(scheduler)
        await _list_tree(scheduler, run, tally)
        await to_thread.run_sync(catalogue.forget_unseen, run)
        await _digest_candidates(scheduler, run, catalogue, tally)
        return Found(
            written=await _write_answer(scheduler, run, tally),
            answer=await to_thread.run_sync(answer_of, run, catalogue),
            failed_tasks=await _failed_tasks(scheduler) - failed_before,
        )


async def _list_tree(scheduler: Scheduler, run: Run, tally: Tally) -> None:
    # Digests that an earlier run left in the queue go on beside the listing.
    tally.inherit(Stage.DIGEST, await scheduler.domain(Digesting).count())
    tally.expect(Stage.SCAN, 1)
    await scheduler.domain(Scanning).submit(ListDirectory(run=run.id, path=run.root))
    await scheduler.idle()


async def _digest_candidates(
    scheduler: Scheduler, run: Run, catalogue: Catalogue, tally: Tally
) -> None:
    tally.enter(Stage.DIGEST)
    digests = scheduler.domain(Digesting)
    with closing(catalogue.candidates(run, CHUNK)) as chunks:
        while chunk := await to_thread.run_sync(next, chunks, None):
            tally.expect(Stage.DIGEST, len(chunk), sum(file.size for file in chunk))
            await digests.submit_many([_digest(run, file) for file in chunk])
    await scheduler.idle()


async def _write_answer(scheduler: Scheduler, run: Run, tally: Tally) -> list[str]:
    tally.enter(Stage.REPORT)
    tally.expect(Stage.REPORT, 1)
    reports = scheduler.domain(Reporting)
    return await reports.result(await reports.submit(WriteReport(run=run.id)))


async def _note_large_files(scheduler: Scheduler, tally: Tally) -> None:
    async with scheduler.domain(Digesting).events(DigestFile) as events:
        async for event in events:
            match event:
                case Progress(header=header, fraction=fraction):
                    tally.reading(f"{fraction:.0%} of {header.label}" if fraction < 1 else None)
                case _:
                    pass


async def _failed_tasks(scheduler: Scheduler) -> int:
    return await scheduler.count(status=UNFINISHED, types=[ListDirectory, DigestFile])


def _digest(run: Run, file: SeenFile) -> DigestFile:
    return DigestFile(
        run=run.id,
        top=top_directory(file.path, run.root),
        path=file.path,
        size=file.size,
        mtime_ns=file.mtime_ns,
    )
