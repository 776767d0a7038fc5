"""Schedulers are explored by seeds: they keep their promises, and what breaks one is found."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from taskmill.engine.writer import Writer
from taskmill.model.changes import Change, Claim
from taskmill.model.effects import Effect
from taskmill.model.errors import StoreError
from taskmill.rules import ending
from taskmill.store.sqlite import batch, transactions
from taskmill.store.sqlite.inline import InlineStore
from taskmill.store.sqlite.statements import SQL
from taskmill.testing import (
    OPERATIONS,
    PromiseBroken,
    Trial,
    World,
    explore,
    replay,
    shrink,
    tell,
)

from .works import EVERYTHING

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
def without_compare_and_set(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """A report is written whichever run it is of."""
    settle = SQL["settle"].replace("AND run = :run AND status = 'running'", "AND :run IS NOT NULL")
    complete = SQL["complete"].replace("AND taskmill_tasks.run = ended.run AND status = 'running'", "")
    patch.setitem(SQL, "settle", settle)
    patch.setitem(SQL, "complete", complete)
    yield


@contextmanager
def start_before_commit(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Claims are answered at once, and are never written."""
    apply = InlineStore.apply

    async def answered(
        self: InlineStore, changes: Sequence[Change]
    ) -> list[Effect | StoreError]:
        effects = await apply(self, changes)
        if any(isinstance(change, Claim) for change in changes):
            db = self._disk._db
            for change in changes:
                if isinstance(change, Claim):
                    db.look(
                        "UPDATE main.taskmill_tasks SET status = 'pending', run = run - 1, "
                        f"attempt = attempt - 1 WHERE id = {change.id} AND status = 'running'"
                    )
        return effects

    patch.setattr(InlineStore, "apply", answered)
    yield


@contextmanager
def events_before_commit(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Effects are followed, and so told, before the batch is committed."""
    write = Writer._write

    async def early(self: Writer, batch_: list[tuple[Change, Any]]) -> None:
        for change, receive in batch_:
            hook = getattr(receive, "args", ())
            if hook and getattr(receive.func, "__name__", "") == "_settled":
                attempt, settlement = hook
                from taskmill.model.effects import Settled

                receive.func.__self__._announce(attempt, settlement, Settled(status=settlement.status))
        await write(self, batch_)

    patch.setattr(Writer, "_write", early)
    yield


@contextmanager
def without_rollback(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """A batch that fails half-way is committed as far as it came."""

    @contextmanager
    def kept(db: Any) -> Iterator[None]:
        db.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            if db.in_transaction:
                db.look("COMMIT")

    patch.setattr(batch, "transaction", kept)
    yield


@contextmanager
def cancel_without_cause(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """The stop of a running task is not on record: what returns late completes it."""
    settle = SQL["settle"].replace("AND stop_cause IS NULL AND is_linked = 0", "")
    complete = SQL["complete"].replace("AND stop_cause IS NULL AND is_linked = 0", "")
    patch.setitem(SQL, "settle", settle)
    patch.setitem(SQL, "complete", complete)
    yield


@contextmanager
def without_recovery(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """What ran when the process died is left as it is."""
    patch.setitem(SQL, "recover_running", "UPDATE taskmill_tasks SET status = status WHERE 0")
    yield


@contextmanager
def without_cap(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """A slot more is given than there is."""
    from taskmill.rules.gates import Slots

    patch.setattr(Slots, "is_open", lambda self, now_ns: True)
    yield


@contextmanager
def without_dependencies(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is blocked may be claimed when the first of its dependencies has ended."""
    patch.setitem(SQL, "unmet", "SELECT task FROM taskmill_edges WHERE 0")
    yield


BUGS: dict[str, tuple[Callable[[pytest.MonkeyPatch], Any], int]] = {
    "the compare-and-set on a run is dropped": (without_compare_and_set, 200),
    "a handler starts before its claim is committed": (start_before_commit, 20),
    "events are published before their commit": (events_before_commit, 20),
    "a batch that failed is not rolled back": (without_rollback, 100),
    "a late return completes a cancelled task": (cancel_without_cause, 100),
    "what ran at a crash is not recovered": (without_recovery, 60),
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_bug_put_back_is_found_within_so_many_seeds(
    bug: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_back, within = BUGS[bug]
    with put_back(monkeypatch):
        found = next(
            story for seed in range(within) if (story := replay(EVERYTHING, seed)).broken
        )
    assert found.promise is not None
    print(bug, found.plan.seed, found.broken)
