"""Snapshots: what a dashboard of several domains shows. For the page's section "A dashboard".

| pattern | test |
|---|---|
| the snapshot of a domain | test_a_domains_snapshot_counts_its_own_tasks |
| a domain that is paused | test_a_snapshot_shows_the_pause_and_the_cap |
| how far a domain is | test_the_progress_of_a_domain_is_that_of_what_runs |
| the snapshot of the scheduler, with that of each domain | test_the_schedulers_snapshot_has_all |
| a job's totals from the snapshots of its domains | test_totals_are_sums_over_domains |
"""

from __future__ import annotations

import anyio
import pytest

from examples.media import Fetch, Tell, begin
from tests.guides.app import ADA, URL, media

pytestmark = pytest.mark.anyio


async def test_a_domains_snapshot_counts_its_own_tasks() -> None:
    async with media() as app:
        job = await begin(app.scheduler, "j1", URL, ADA)
        snapshot = await app.process.snapshot()
        assert (snapshot.name, snapshot.blocked_count, snapshot.running) == ("process", 2, ())
        await anyio.sleep(5)
        snapshot = await app.process.snapshot()
        assert [record.type for record in snapshot.running] == ["process::render"] * 2
        assert {record.parent for record in snapshot.running} == {job.transcode.id}
        assert (snapshot.waiting_count, snapshot.pending_count, snapshot.blocked_count) == (1, 0, 0)
        ingest = await app.ingest.snapshot()
        assert (ingest.running, ingest.pending_count) == ((), 0)


async def test_a_snapshot_shows_the_pause_and_the_cap() -> None:
    async with media() as app:
        await app.notify.pause()
        await app.notify.submit(Tell(job="j1", to=ADA, text="hello"))
        snapshot = await app.notify.snapshot()
        assert (snapshot.is_paused, snapshot.paused_count, snapshot.pending_count) == (True, 1, 0)
        assert snapshot.max_concurrency is None
        ingest = await app.ingest.snapshot()
        assert (ingest.is_paused, ingest.max_concurrency) == (False, 4)


async def test_the_progress_of_a_domain_is_that_of_what_runs() -> None:
    async with media() as app:
        assert (await app.ingest.snapshot()).progress is None


async def test_the_schedulers_snapshot_has_all() -> None:
    async with media() as app:
        await begin(app.scheduler, "j1", URL, ADA)
        await anyio.sleep(0.5)
        everything = await app.scheduler.snapshot()
        assert [record.type for record in everything.running] == ["ingest::fetch"]
        assert everything.blocked_count == 3
        assert sorted(everything.domains) == ["ingest", "notify", "process"]
        assert everything.domains["process"] == await app.process.snapshot()


async def test_totals_are_sums_over_domains() -> None:
    async with media() as app:
        await app.ingest.submit_many([Fetch(job=f"j{n}", url=URL) for n in range(10)])
        await begin(app.scheduler, "x", URL, ADA)
        await anyio.sleep(0.5)
        everything = await app.scheduler.snapshot()
        each = everything.domains.values()
        assert everything.pending_count == sum(domain.pending_count for domain in each) == 7
        assert len(everything.running) == sum(len(domain.running) for domain in each) == 4
        assert everything.blocked_count == sum(domain.blocked_count for domain in each)
