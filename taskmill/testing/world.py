"""What an explored scheduler is given in place of the machine: store, clock, chance, executors."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from random import Random
from typing import Any, TypedDict

import anyio
import attrs

from taskmill.define.task import Handler
from taskmill.engine.clock import Clock
from taskmill.executors.base import Executor, Host, Outcome, Work
from taskmill.model.changes import Change
from taskmill.store.base import Store
from taskmill.store.sqlite.inline import Commit, Disk
from taskmill.testing.time import FakeClock
from taskmill.testing.witness import Witness


class Parts(TypedDict):
    """What `World.parts` has for ``Scheduler(**world.parts, domains=[...])``."""

    store: Store
    clock: Clock
    rng: Random
    executors: Mapping[str, Executor]
    loop_limit: None


@attrs.define(kw_only=True)
class Pace:
    """How long calls to the store take, in seconds."""

    rng: Random
    usual: float = 0.002
    slow: float = 0
    """What is added on top for now."""

    def draw(self) -> float:
        """The time of one way, to the store or back."""
        return self.slow + self.usual * max(0.0, self.rng.random() * 2 - 1)


class World:
    """The machine of one explored scheduler; it stays while processes come and go."""

    def __init__(self, *, seed: int, clock: FakeClock, halt: Callable[[], None]) -> None:
        self.clock = clock
        self.rng = Random(f"{seed} scheduler")  # noqa: S311 - it must be the same again
        self.pace = Pace(rng=Random(f"{seed} store"))  # noqa: S311 - as above
        self.disk = Disk(self)
        self._halt = halt
        self.witness: Witness
        self._jumped = self._furthest = timedelta(0)
        self.crashes = 0
        """How often a process has died of what happened to it, or of its handlers."""
        self.crash_in: int | None = None
        """After how many ways to and from the store the process dies."""
        self.under_way = 0
        """How many calls to the store are under way."""

    @property
    def parts(self) -> Parts:
        """What a scheduler is made with: ``Scheduler(**world.parts, domains=[...])``."""
        watched = Watched(self)
        return Parts(
            store=self.disk.store(),
            clock=self.clock,
            rng=self.rng,
            executors={"inline": watched, "thread": watched, "process": watched},
            loop_limit=None,
        )

    async def crash(self) -> None:
        """Die, as a handler may that kills its process."""
        self.died()
        await anyio.sleep_forever()

    def set_clock(self, by: timedelta) -> None:
        """Set the wall clock forward or back."""
        self._jumped += by
        self._furthest = max(self._furthest, self._jumped)
        self.clock.jump(by)
        self.witness.seen.jumped()

    def set_clock_right(self) -> None:
        """Set the wall clock to the latest it has been: what was due then is due."""
        if self._jumped < self._furthest:
            self.set_clock(self._furthest - self._jumped)

    def heal(self) -> None:
        """Nothing is wrong with the store any more."""
        self.disk.heal()
        self.pace.slow = 0
        self.crash_in = None

    # --- what the disk calls ---

    async def before(self) -> None:
        self.under_way += 1
        await self._way()

    async def after(self) -> None:
        await self._way()
        self.under_way -= 1

    async def _way(self) -> None:
        if self.crash_in is not None:
            self.crash_in -= 1
            if self.crash_in <= 0:
                await self.crash()
        await anyio.sleep(self.pace.draw())

    def applying(self, changes: Sequence[Change]) -> None:
        self.witness.applying(changes)

    def committed(self, commit: Commit) -> None:
        self.witness.committed(commit)

    def died(self) -> None:
        self.crashes += 1
        self._halt()


class Watched:
    """Runs every handler in the event loop, also plain functions, and tells the witness."""

    capacity: int | None = None
    fallback: str | None = None

    def __init__(self, world: World) -> None:
        self._world = world

    def check(self, handler: Handler[Any]) -> None:
        """It takes any."""

    async def start(self, host: Host) -> None:
        """Nothing is to be made ready."""

    async def run(self, work: Work) -> Outcome:
        """Call the handler, and await it where it is a coroutine."""
        witness, record = self._world.witness, work.record
        witness.handling.began(record, work.part, work.workplace.fence)
        try:
            made = work.call()
            outcome: Outcome = await made if inspect.isawaitable(made) else made
        except BaseException as error:
            witness.handling.ended(record, work.part, error)
            raise
        witness.handling.ended(record, work.part, outcome)
        return outcome

    async def stop(self) -> None:
        """Nothing is to be let go of."""
