"""What earlier runs left in the task database, and how it is cancelled: by its tag.

The database is opened without handlers, so that nothing of it starts meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from taskmill import Domain, Scheduler
from taskmill.demo.digest import Digesting
from taskmill.demo.report import Reporting
from taskmill.demo.scan import Scanning
from taskmill.demo.values import TAG, Run

if TYPE_CHECKING:
    from pathlib import Path


async def cancel_run(database: Path, run: Run) -> int:
    """Cancel all that is left of runs over this tree; how many tasks that were."""
    if not await anyio.Path(database).exists():
        return 0
    async with _without_handlers(database) as scheduler:
        return len(await scheduler.cancel_where(tags=run.tags))


async def keep_digests(database: Path, run: Run) -> None:
    """Cancel all that is left but the digests of this tree: those are still worth having.

    A listing must be fresh, so what an unfinished one has found is not used. Digests that were to
    be found by it end with it; those that were found already do not need it any more.
    """
    async with _without_handlers(database) as scheduler:
        for tree in await scheduler.tag_values(TAG):
            if tree != run.tags[TAG]:
                await scheduler.cancel_where(tags={TAG: tree})
        for key in (Scanning, Reporting):
            await scheduler.domain(key).cancel_all()


def _without_handlers(database: Path) -> Scheduler:
    return Scheduler(database, domains=[Domain(Scanning), Domain(Digesting), Domain(Reporting)])
