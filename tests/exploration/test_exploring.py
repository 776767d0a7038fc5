"""Schedulers are explored by seeds: they keep their promises, and what breaks one is found."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import attrs
import pytest

from taskmill.engine.runs.running import Running
from taskmill.engine.writer import Writer
from taskmill.model.changes import Change, Claim, ClaimNew, Settlement
from taskmill.model.effects import Effect, Settled
from taskmill.model.errors import StoreError
from taskmill.rules.gates import Slots
from taskmill.store.sqlite import batch
from taskmill.store.sqlite.inline import InlineStore
from taskmill.store.sqlite.statements import SQL
from taskmill.testing import (
    OPERATIONS,
    PromiseBroken,
    Scene,
    World,
    explore,
    replay,
    tell,
)

from .works import EVERYTHING, Print

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """What thousands of crashes have to say is not kept."""
    caplog.set_level(100)


@pytest.mark.parametrize("first", range(0, 200, 25))
def test_every_promise_holds_under_200_seeds(first: int) -> None:
    assert explore(EVERYTHING, range(first, first + 25)) == 25


@pytest.mark.nightly
def test_every_promise_holds_under_10_000_seeds() -> None:
    assert explore(EVERYTHING, range(1000, 11_000), processes=2) == 10_000


def test_a_seed_tells_the_same_story_in_every_process() -> None:
    program = (
        "import logging; logging.disable(50)\n"
        "from taskmill.testing import replay\n"
        "from tests.exploration.works import EVERYTHING\n"
        "for seed in (1, 3, 10, 71, 139): print(replay(EVERYTHING, seed))"
    )
    told = [
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            timeout=120,
        ).stdout
        for seed in ("1", "2")
    ]
    assert told[0] == told[1]
    assert told[0].count(b"every promise held") == 5


# --- that it bites -------------------------------------------------------------------------------


@contextmanager
def without_compare_and_set(patch: pytest.MonkeyPatch) -> Generator[None]:
    """A report is written whichever run it is of."""
    settle = SQL["settle"].replace("AND run = :run AND status = 'running'", "AND :run IS NOT NULL")
    complete = SQL["complete"].replace(
        "AND taskmill_tasks.run = ended.run AND status = 'running'", ""
    )
    patch.setitem(SQL, "settle", settle)
    patch.setitem(SQL, "complete", complete)
    yield


@contextmanager
def start_before_commit(patch: pytest.MonkeyPatch) -> Generator[None]:
    """A batch with a claim is answered first, and written a little later."""
    apply = InlineStore.apply

    async def answered(self: InlineStore, changes: Sequence[Change]) -> list[Effect | StoreError]:
        if not any(isinstance(change, Claim | ClaimNew) for change in changes):
            return await apply(self, changes)
        db = self._disk._db
        db.look("BEGIN")
        effects: list[Effect | StoreError] = []
        batch._apply_all(db, changes, effects)
        db.look("ROLLBACK")
        asyncio.get_running_loop().create_task(apply(self, changes))
        return effects

    patch.setattr(InlineStore, "apply", answered)
    yield


@contextmanager
def events_before_commit(patch: pytest.MonkeyPatch) -> Generator[None]:
    """Effects are followed, and so told, before the batch is committed."""
    write = Writer._write

    async def early(self: Writer, batch_: list[tuple[Change, Any]]) -> None:
        for _, receive in batch_:
            given: tuple[Any, ...] = getattr(receive, "args", ())
            if len(given) == 2 and isinstance(given[1], Settlement):
                attempt, settlement = given
                settled = Settled(status=settlement.status)
                running: Running = getattr(receive.func, "__self__")  # noqa: B009 - a bound method
                running._announce(attempt, settlement, settled)
        await write(self, batch_)

    patch.setattr(Writer, "_write", early)
    yield


@contextmanager
def without_rollback(patch: pytest.MonkeyPatch) -> Generator[None]:
    """A batch that fails half-way is committed as far as it came."""

    @contextmanager
    def kept(db: Any) -> Generator[None]:
        db.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            if db.in_transaction:
                db.look("COMMIT")

    patch.setattr(batch, "transaction", kept)
    yield


@contextmanager
def cancel_without_cause(patch: pytest.MonkeyPatch) -> Generator[None]:
    """The stop of a running task is not on record: what returns late completes it."""
    settle = SQL["settle"].replace("AND stop_cause IS NULL AND is_linked = 0", "")
    complete = SQL["complete"].replace("AND stop_cause IS NULL AND is_linked = 0", "")
    patch.setitem(SQL, "settle", settle)
    patch.setitem(SQL, "complete", complete)
    yield


@contextmanager
def without_recovery(patch: pytest.MonkeyPatch) -> Generator[None]:
    """What ran when the process died is left as it is."""
    patch.setitem(SQL, "recover_running", "UPDATE taskmill_tasks SET status = status WHERE 0")
    yield


def _is_open(slots: Slots, now_ns: int) -> bool:
    return True


@contextmanager
def without_cap(patch: pytest.MonkeyPatch) -> Generator[None]:
    """Every cap has room."""
    patch.setattr(Slots, "is_open", _is_open)
    yield


BUGS: dict[str, tuple[Callable[[pytest.MonkeyPatch], AbstractContextManager[None]], range]] = {
    "the compare-and-set on a run is dropped": (without_compare_and_set, range(85, 100)),
    "a handler starts before its claim is committed": (start_before_commit, range(10)),
    "events are published before their commit": (events_before_commit, range(10)),
    "a batch that failed is not rolled back": (without_rollback, range(8, 40)),
    "a late return completes a cancelled task": (cancel_without_cause, range(10)),
    "what ran at a crash is not recovered": (without_recovery, range(20)),
    "a cap is not looked at": (without_cap, range(10)),
}


@pytest.mark.filterwarnings("ignore:coroutine 'InlineStore.apply' was never awaited")  # a bug's own
@pytest.mark.parametrize("bug", BUGS)
def test_a_bug_put_back_is_found_within_so_many_seeds(
    bug: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_back, seeds = BUGS[bug]
    with put_back(monkeypatch):
        assert any(replay(EVERYTHING, seed).broken for seed in seeds)


def test_what_is_found_is_shrunk_to_a_short_story_that_replays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with events_before_commit(monkeypatch):
        with pytest.raises(PromiseBroken, match="BROKEN S10") as caught:
            explore(EVERYTHING, [0])
        story = caught.value.story
        assert story.promise == "S10"
        assert len(story.plan.steps) <= 3 < len(caught.value.found.plan.steps)
        assert tell(EVERYTHING, story.plan) == story
    monkeypatch.undo()
    assert tell(EVERYTHING, story.plan).broken is None


# --- for a user's own domains --------------------------------------------------------------------


async def twice(scene: Scene, rng: Random) -> str:
    """An operation of our own."""
    first = await scene.scheduler.submit(Print(text="twice"))
    return f"{first.id}"


def so_we_say(world: World) -> str | None:
    return "so we say" if world.witness.seen.rows else None


def test_operations_troubles_and_checks_can_be_a_users_own() -> None:
    trial = attrs.evolve(
        EVERYTHING,
        operations={"twice": twice, "look": OPERATIONS["look"]},
        troubles={},
        check=so_we_say,
        steps=8,
    )
    story = next(s for s in map(partial(replay, trial), range(20)) if "> twice" in str(s))
    assert story.broken == "CHECK: so we say"
    assert "> submit" not in str(story)
