"""The table of what a handler can do where is true, cell by cell."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path

import pytest

from taskmill import (
    Blocking,
    Context,
    Domain,
    ProcessExecutor,
    RetryPolicy,
    Route,
    Scheduler,
    TaskRecord,
    TaskStatus,
)
from tests.guides.places import KINDS, Elsewhere, Parent, Places, domain

pytestmark = pytest.mark.anyio

PAGE = (Path(__file__).parents[2] / "docs/executors.md").read_text(encoding="utf-8")
PLACES = ("coroutine", "thread", "process")
ROWS = [
    (verb, place, cell)
    for verb, *cells in re.findall(
        r"^\| `(\w+)` \| (\w+) \| (\w+) \| (\w+) \|$", PAGE, re.MULTILINE
    )
    for place, cell in zip(PLACES, cells, strict=True)
]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def scheduler(anyio_backend: str) -> AsyncGenerator[Scheduler]:
    async with Scheduler(
        ":memory:",
        domains=[
            domain(retry=RetryPolicy.constant(0, timedelta(0)), unique_for=None),
            Domain(Elsewhere),
        ],
        executors={"process": ProcessExecutor(1)},
    ) as scheduler:
        yield scheduler


async def tried(scheduler: Scheduler, verb: str, place: str, *, blocking: bool) -> TaskRecord:
    """The task that has tried one verb; it has a parent, where that matters."""
    places = scheduler.domain(Places)
    if "sibling" not in verb:
        submitted = await places.submit(KINDS[place](verb=verb, blocking=blocking))
        return await places.wait(submitted.id)
    parent = await places.submit(Parent(place=place, verb=verb, blocking=blocking), fail_fast=False)
    await places.wait(parent.id)
    page = await places.tasks(parent=parent.id, status=list(TaskStatus), types=[KINDS[place]])
    [record] = page
    return record


def test_the_table_has_every_name_of_the_context() -> None:
    names = {name for name in vars(Context) if not name.startswith("_")}
    assert {verb for verb, _, _ in ROWS} == names


def test_what_blocks_is_what_is_awaited_elsewhere() -> None:
    blocking = {verb for verb, _, cell in ROWS if cell == "blocking"}
    names = {name for name in vars(Blocking) if not name.startswith("_")}
    assert names == {*blocking, "submit"}


@pytest.mark.parametrize(("verb", "place", "cell"), ROWS)
async def test_each_cell_of_the_table_is_true(
    scheduler: Scheduler, verb: str, place: str, cell: str
) -> None:
    record = await tried(scheduler, verb, place, blocking=False)
    assert record.executor in (None, {"coroutine": "inline"}.get(place, place))
    if cell == "yes":
        assert record.status is TaskStatus.COMPLETED, record.reason
        return
    assert record.status is TaskStatus.DEAD
    assert record.errors[0].type == "taskmill.model.errors.InvalidState"
    if cell == "blocking":
        assert f"ctx.blocking.{verb}" in record.errors[0].message
        again = await tried(scheduler, verb, place, blocking=True)
        assert again.status is TaskStatus.COMPLETED, again.reason


@pytest.mark.parametrize("place", ["thread", "process"])
async def test_a_plain_function_submits_to_any_domain(scheduler: Scheduler, place: str) -> None:
    record = await tried(scheduler, "submit", place, blocking=True)
    assert "outcome=<SubmitOutcome" in (record.result or "")


def test_the_patterns_of_the_page_match_what_it_says() -> None:
    found = re.findall(
        r"^\| `([^`]+)` \| (.+?) \| (.*?)\|$", PAGE.split("## Rules")[1], re.MULTILINE
    )
    assert len(found) == 7
    for pattern, matching, others in found:
        route = Route(pattern, "there")
        for name in re.findall(r"`([^`]+)`", matching):
            assert route.matches(name)
        for name in re.findall(r"`([^`]+)`", others):
            assert not route.matches(name)
