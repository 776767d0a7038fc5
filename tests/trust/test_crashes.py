"""A process that dies right before or right after any call of the store, for each verb."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import sqlite3
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest

from taskmill import (
    Every,
    GroupPolicy,
    InvalidState,
    OnDuplicate,
    RateLimit,
    Retention,
    Scheduler,
    SchedulerFailed,
    SqliteStore,
    Stop,
    StoreError,
    TaskStatus,
)
from taskmill.model.changes import Change
from taskmill.testing import FakeClock, virtual_time
from tests.processes import running
from tests.trust.judging import ENDS, check_file, check_order, check_records, ended_records
from tests.trust.ledger import Ledger, check, entries
from tests.trust.victim import (
    CAPS,
    GROUPS,
    MS,
    Beat,
    Crunch,
    Flaky,
    Hopeless,
    Order,
    Parent,
    Step,
    Tidy,
    domain,
)

pytestmark = pytest.mark.anyio

SECOND = timedelta(seconds=1)


DEAD = 77
"""The exit status of a process that died as it was to."""


class Died(Exception):
    """The process is gone: nothing that it would still do happens."""


@attrs.frozen
class Death:
    """Which call of the store it dies at, and whether that one is still made."""

    at: int
    is_after: bool


class DyingStore(SqliteStore):
    """A store whose process dies at one of its calls, and leaves its files as they are then."""

    def __init__(self, path: Path, death: Death, ledger: Ledger, *, is_real: bool = False) -> None:
        super().__init__(path, durability="process")
        self._is_real = is_real
        self._death = death
        self._ledger = ledger
        self._place = path
        self.calls = 0
        self.is_dead = False

    async def apply(self, changes: Sequence[Change]) -> Any:
        return await self._call(super().apply(changes))

    async def submit_on(self, connection: object, tasks: Any) -> Any:
        return await self._call(super().submit_on(connection, tasks))

    async def _call(self, call: Coroutine[Any, Any, Any]) -> Any:
        self.calls += 1
        is_it = self.calls == self._death.at
        if self.is_dead or (is_it and not self._death.is_after):
            call.close()
            self._die()
        result = await call
        if is_it:
            self._die()
        return result

    def _die(self) -> None:
        if self._is_real:
            os._exit(DEAD)
        if not self.is_dead:
            self.is_dead = True
            self._ledger.close()
            for suffix in ("", "-wal"):
                source = self._place.with_name(self._place.name + suffix)
                if source.exists():
                    shutil.copyfile(source, left_of(self._place, suffix))
        raise Died


def left_of(path: Path, suffix: str = "") -> Path:
    """Where the files are that a dead process has left."""
    return path.with_name(f"left.db{suffix}")


@attrs.frozen
class Life:
    """A scheduler that may die, and what it has promised."""

    scheduler: Scheduler
    path: Path
    ledger: Ledger
    held: set[str] = attrs.field(factory=set[str])
    """Groups whose pause was confirmed and whose end was not asked for."""

    async def submit(self, *tasks: Any, **options: Any) -> list[Any]:
        """Submit tasks and note that they were accepted."""
        accepted = [await self.scheduler.submit(task, **options) for task in tasks]
        for each in accepted:
            self.ledger.write("accept", each.id)
        return accepted

    async def ended(self, accepted: list[Any]) -> None:
        """Wait until tasks have ended."""
        for each in accepted:
            await self.scheduler.wait(each.id)


async def submit(life: Life) -> None:
    accepted = await life.submit(Step(name="a"), Step(name="b"), Crunch(number=9), group="narrow")
    await life.ended(accepted)


async def submit_many(life: Life) -> None:
    steps = [Step(name=str(number)) for number in range(30)]
    accepted = await life.scheduler.submit_many(steps, group="heavy", tags={"of": "many"})
    for each in accepted:
        life.ledger.write("accept", each.id)
    await life.ended(accepted)


async def later(life: Life) -> None:
    await life.ended(await life.submit(Step(name="a"), Step(name="b"), delay=5 * MS))


async def expire(life: Life) -> None:
    await life.scheduler.pause_group("narrow")
    accepted = await life.submit(Step(name="a"), Step(name="b"), ttl=5 * MS, group="narrow")
    await life.ended(accepted)


async def retry(life: Life) -> None:
    accepted = await life.submit(Flaky(name="a"), Hopeless(name="b"))
    await life.ended(accepted)
    await life.scheduler.retry(accepted[1].id)
    await life.ended(accepted)


async def cancel(life: Life) -> None:
    tidy, late = await life.submit(Tidy(name="a")), await life.submit(Step(name="b"), delay=SECOND)
    await anyio.sleep(0.005)
    for [each] in (tidy, late):
        if await life.scheduler.cancel(each.id):
            life.ledger.write("told", each.id)
    await life.ended(tidy)


async def cancel_all(life: Life) -> None:
    accepted = await life.submit(*(Tidy(name=str(number)) for number in range(5)), group="narrow")
    await anyio.sleep(0.005)
    for task in await life.scheduler.cancel_where(group="narrow"):
        life.ledger.write("told", task)
    await life.ended(accepted)


async def supersede(life: Life) -> None:
    accepted: list[Any] = []
    for how in (OnDuplicate.KEEP, OnDuplicate.SUPERSEDE, OnDuplicate.SUPERSEDE, OnDuplicate.KEEP):
        step = Step(name=f"{how} {len(accepted)}", wait_ms=10)
        accepted += await life.submit(step, key="k", on_duplicate=how)
        await anyio.sleep(0.002)
    await life.ended(accepted)


async def children(life: Life) -> None:
    await life.ended(await life.submit(Parent(name="p"), Parent(name="q", children=4)))


async def depend(life: Life) -> None:
    first = await life.submit(Step(name="a"), Hopeless(name="b"))
    second = await life.submit(Step(name="c"), depends_on=first[:1])
    third = await life.submit(Step(name="d"), depends_on=[*second, *first[1:]])
    await life.ended([*first, *second, *third])


async def recur(life: Life) -> None:
    await life.scheduler.schedule(Beat(), Every(10 * MS), "beat")
    await anyio.sleep(0.035)
    await life.scheduler.pause_schedule("beat")
    await life.scheduler.cancel_schedule("beat")


async def pause(life: Life) -> None:
    await life.scheduler.pause_group("narrow")
    life.held.add("narrow")
    accepted = await life.submit(Step(name="a"), Step(name="b"), group="narrow")
    await anyio.sleep(0.01)
    life.held.discard("narrow")
    await life.scheduler.resume_group("narrow")
    await life.scheduler.pause()
    await life.scheduler.resume()
    await life.ended(accepted)


async def enlist(life: Life) -> None:
    for number in range(4):
        with closing(sqlite3.connect(life.path, isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            db.execute("INSERT INTO orders VALUES (?)", (number,))
            submitted = await life.scheduler.submit(Order(number=number), connection=db)
            db.execute("ROLLBACK" if number == 2 else "COMMIT")
        if number != 2:
            life.ledger.write("ordered", submitted.id, number)
            await life.ended([submitted])


async def steer(life: Life) -> None:
    accepted = await life.submit(*(Step(name=str(n), wait_ms=5) for n in range(6)), group="heavy")
    life.scheduler.set_group("heavy", GroupPolicy(max_concurrency=3, weight=9))
    life.scheduler.set_max_concurrency(2)
    life.scheduler.set_rate(Step, RateLimit(1000))
    late = await life.submit(Step(name="late"), delay=SECOND)
    await life.scheduler.reprioritise(late[0].id, 3)
    await life.scheduler.reschedule(late[0].id, life.scheduler._clock.now())
    await life.ended([*accepted, *late])


async def forget(life: Life) -> None:
    for number in range(3):
        [each] = await life.scheduler.submit_many([Step(name=str(number))])
        await life.ended([each])
    await anyio.sleep(2)
    await life.scheduler.delete(status=TaskStatus.COMPLETED)


VERBS: dict[str, Callable[[Life], Awaitable[None]]] = {
    verb.__name__: verb
    for verb in (
        *(submit, submit_many, later, expire, retry, cancel, cancel_all, supersede, children),
        *(depend, recur, pause, enlist, steer, forget),
    )
}

MORE_ENDS = {
    "expire": {"load::step": {"completed", "expired"}},
    "cancel": {"load::step": {"completed", "cancelled"}},
}
"""How tasks may end where a verb has them end otherwise than in general."""


def scheduler_on(store: SqliteStore, ledger: Ledger, clock: FakeClock) -> Scheduler:
    return Scheduler(
        store=store,
        domains=[domain(ledger)],
        groups=GROUPS,
        retention=Retention(count=1, failed=1, dead=1, min_age=timedelta(seconds=1)),
        clock=clock,
        loop_limit=None,
        poll_interval=timedelta(hours=1),
        shutdown=Stop(),
    )


async def live(store: DyingStore, path: Path, ledger: Ledger, verb: str, clock: Any) -> set[str]:
    """Live through a scenario, or die on the way; return which groups are promised to be held."""
    held: set[str] = set()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE orders (number INTEGER)")
    try:
        with anyio.fail_after(3600):
            async with scheduler_on(store, ledger, clock) as scheduler:
                await VERBS[verb](Life(scheduler, path, ledger, held))
    except (Died, StoreError, SchedulerFailed, InvalidState):
        if not store.is_dead:
            raise
    ledger.close()
    return held


async def judge(left: Path, accounts: Path, verb: str, clock: Any, held: set[str]) -> None:
    """Open what was left, have all end that is there, and assert that no promise was broken."""
    again = Ledger(accounts)
    store = SqliteStore(left, durability="process")
    with anyio.fail_after(3600):
        async with scheduler_on(store, again, clock) as scheduler:
            assert held <= (await scheduler.paused_groups()).keys()
            records = await ended_records(scheduler)
    again.close()
    found = entries(accounts)
    check(found, CAPS)
    check_order(found, records)
    if verb != "forget":
        check_records(found, records, {**ENDS, **MORE_ENDS.get(verb, {})})
        check_file(left, found, records)


@pytest.mark.parametrize(
    "is_after",
    [
        pytest.param(False, id="before", marks=pytest.mark.nightly),  # much as after the last one
        pytest.param(True, id="after"),
    ],
)
@pytest.mark.parametrize("verb", VERBS)
async def test_a_crash_at_any_call_of_the_store_loses_nothing_and_breaks_no_promise(
    tmp_path: Path, verb: str, is_after: bool
) -> None:
    at = 0
    for at in itertools.count(1):
        folder = tmp_path / str(at)
        folder.mkdir()
        path, accounts = folder / "app.db", folder / "ledger"
        ledger = Ledger(accounts)
        store = DyingStore(path, Death(at, is_after), ledger)
        async with virtual_time() as clock:
            held = await live(store, path, ledger, verb, clock)
            if not store.is_dead:
                break
            await judge(left_of(path), accounts, verb, clock, held)
    assert at > 5


SOME = [("children", 6), ("enlist", 5), ("cancel", 7)]
ALL = [(verb, at) for verb in VERBS for at in range(1, 10, 2) if (verb, at) not in SOME]


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("verb", "at"), [*SOME, *(pytest.param(*each, marks=pytest.mark.nightly) for each in ALL)]
)
async def test_a_process_that_exits_at_a_call_of_the_store_breaks_no_promise(
    tmp_path: Path, verb: str, at: int, is_after: bool
) -> None:
    path, accounts = tmp_path / "app.db", tmp_path / "ledger"
    arguments = (path, accounts, verb, at, int(is_after))
    with running("tests.trust.test_crashes", *arguments, log=tmp_path / "log") as process:
        process.read_all()
        status = process.process.wait()
    assert status in (DEAD, 0), (tmp_path / "log").read_text()
    async with virtual_time() as clock:
        await judge(path, accounts, verb, clock, set())
    assert (verb, at) not in SOME or status == DEAD


async def die_for_real(path: str, accounts: str, verb: str, at: str, is_after: str) -> None:
    """Live through a scenario in this process, which exits on the way."""
    ledger = Ledger(accounts)
    death = Death(int(at), is_after == "1")
    store = DyingStore(Path(path), death, ledger, is_real=True)
    async with virtual_time() as clock:
        await live(store, Path(path), ledger, verb, clock)


if __name__ == "__main__":
    asyncio.run(die_for_real(*sys.argv[1:]))
