"""One exploration: a scheduler of a user's own, lived through a plan of operations and troubles."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from random import Random
from typing import Any, cast

import anyio
import attrs
from anyio.abc import TaskStatus as Started

from taskmill.define.task import DomainKey, Task
from taskmill.model.errors import SchedulerFailed, StoreError, TaskmillError
from taskmill.model.events import Event
from taskmill.model.options import SubmitOptions
from taskmill.model.pauses import PauseScope
from taskmill.model.policies import Drain, Stop
from taskmill.model.record import TaskId
from taskmill.model.schedules import ScheduleStatus
from taskmill.scheduler import Scheduler
from taskmill.testing.loop import SeededLoop, Stranded
from taskmill.testing.operations import OPERATIONS, Operation, Scene, any_options
from taskmill.testing.promises import Bounds, Broken
from taskmill.testing.story import Plan, Step, Story, draw_plan
from taskmill.testing.time import FakeClock
from taskmill.testing.troubles import TROUBLES
from taskmill.testing.witness import Witness
from taskmill.testing.world import World

REOPEN = ("drain_and_reopen", "stop_and_reopen")
"""Steps after which a scheduler is opened anew."""

LONGEST_STOP = 120.0
REST = 1800.0
"""Seconds in which another task ends, as long as any is left, once nothing stands in the way."""
MOST_PROCESSES = 100


@attrs.frozen(kw_only=True)
class Trial:
    """What is explored: how the scheduler is made, and what it is asked to do."""

    scheduler: Callable[[World], Scheduler]
    """Makes the scheduler of one process: ``Scheduler(**world.parts, domains=[...])``. Called again
    after each crash, and each stop: what is to survive those is not made in here."""
    domains: Sequence[type[DomainKey]]
    """Its domains."""
    task: Callable[[Random], Task[Any, Any]]
    """Draws a task to submit."""
    options: Callable[[Random, Sequence[TaskId]], SubmitOptions] = any_options
    """Draws the options of a submit; the ids are those of tasks that it may depend on."""
    bounds: Bounds = attrs.field(factory=Bounds)
    """The limits that the scheduler is made with, to be checked."""
    operations: Mapping[str, Operation] = attrs.field(factory=lambda: OPERATIONS)
    """What it is asked to do; ``{**OPERATIONS, "refund": refund}`` adds one."""
    troubles: Mapping[str, Operation] = attrs.field(factory=lambda: TROUBLES)
    """What befalls it; ``{}`` for nothing."""
    check: Callable[[World], str | None] = lambda world: None  # noqa: ARG005 - the default is none
    """Says what does not hold of what the domains themselves promise; asked at the end, when all
    tasks have ended."""
    steps: int = 40
    seconds: float = 40

    def plan(self, seed: int) -> Plan:
        """What is done under a seed."""
        operations = [*self.operations, *REOPEN]
        troubles = [*self.troubles]
        return draw_plan(seed, operations, troubles, steps=self.steps, seconds=self.seconds)

    def tell(self, plan: Plan) -> Story:
        """Live through a plan. The same plan gives the same story."""
        state = random.getstate()
        random.seed(f"{plan.seed} global")
        exploration = _Exploration(self, plan)
        try:
            return exploration.run()
        finally:
            exploration.forget()
            random.setstate(state)


class _Exploration:
    """Plays one plan through, process after process."""

    def __init__(self, trial: Trial, plan: Plan) -> None:
        self._trial, self._plan = trial, plan
        self._clock = FakeClock()
        self._order = Random(f"{plan.seed} order")  # noqa: S311 - it must be the same again
        self._chance = Random(f"{plan.seed} downtime")  # noqa: S311 - as above
        self._loops: list[SeededLoop] = []
        self._left: list[Step] = list(plan.steps)
        self._lines: list[str] = []
        self._broken: Broken | None = None
        self._is_done = False
        self._loop: SeededLoop | None = None
        self._world = World(seed=plan.seed, clock=self._clock, halt=self._halt)
        self._witness = self._world.witness = Witness(
            trial.bounds,
            now=self._clock.monotonic,
            wall_ms=lambda: int(self._clock.now().timestamp() * 1000),
            is_in_transaction=lambda: self._world.disk.is_in_transaction,
            report=self._report,
            tell=self._say,
        )

    def run(self) -> Story:
        while not self._is_done and self._broken is None:
            if len(self._loops) >= MOST_PROCESSES:
                self._report(Broken("L1", f"no rest after {MOST_PROCESSES} processes"))
            self._process()
        return Story(
            plan=self._plan,
            lines=tuple(self._lines),
            promise=None if self._broken is None else self._broken.promise,
            broken=None if self._broken is None else str(self._broken),
        )

    def forget(self) -> None:
        """Let go of all that processes left behind when they died."""
        for loop in self._loops:
            loop.forget()
        self._world.disk.close()

    def _process(self) -> None:
        """One process, from its start to its end, by a crash or by itself."""
        loop = self._loop = SeededLoop(self._clock, self._order, on_quiet=self._is_quiet)
        self._loops.append(loop)
        try:
            loop.run(self._live())
        except Stranded as error:
            self._report(Broken("L1", str(error)))
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            self._report(Broken("FAILED", f"{error!r:.500}"))
        if loop.is_halted and self._broken is None:
            self._witness.died()
            self._world.heal()
            self._world.disk.recover()
            down = self._chance.choice([0, 0.5, 5])
            self._clock.pass_seconds(down)
            self._say(f"--- the process died; the next one starts {down} s later")
        self._world.under_way = 0

    def _halt(self) -> None:
        if self._loop is not None:
            self._loop.halt()

    def _report(self, broken: Broken) -> None:
        if self._broken is None:
            self._broken = broken
            self._say(f"BROKEN {broken}")
        self._halt()

    def _say(self, what: str) -> None:
        self._lines.append(f"{self._clock.monotonic():10.4f}  {what}")

    def _is_quiet(self) -> None:
        if self._world.under_way == 0:
            self._witness.overdue.check()

    # --- one process ---

    async def _live(self) -> None:
        scheduler = self._trial.scheduler(self._world)
        self._say("--- opens")
        is_opened = False
        try:
            async with anyio.create_task_group() as group:
                async with scheduler:
                    is_opened = True
                    self._witness.opened()
                    await group.start(self._listen, scheduler)
                    scene = Scene(scheduler, self._trial, self._world, self._witness)
                    mode = await self._play(scene, group)
                    self._witness.seen.is_open = False
                    self._say(f"--- stops: {mode}")
                    began = self._clock.monotonic()
                    scheduler.stop(mode)
                if self._clock.monotonic() - began > LONGEST_STOP:
                    took = self._clock.monotonic() - began
                    self._witness.seen.broken("L5", f"it took {took:.0f} s to stop")
                group.cancel_scope.cancel()
        except BaseExceptionGroup as errors:
            raise _alone(errors) from None
        except StoreError as error:
            if isinstance(error, SchedulerFailed):
                raise
            self._say(f"--- {'ended' if is_opened else 'not opened'}: {error}")
            self._world.heal()
            self._witness.stopped(is_whole=False)
            await anyio.sleep(1)
            return
        self._witness.stopped(is_whole=not self._in_trouble())
        self._say("--- has stopped")
        self._world.heal()

    def _in_trouble(self) -> bool:
        return self._clock.monotonic() - self._witness.seen.last_trouble < LONGEST_STOP

    async def _listen(
        self, scheduler: Scheduler, *, task_status: Started[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        async with scheduler.events() as events:
            self._witness.hearing.subscribed()
            task_status.started()
            async for event in events:
                self._hear(event)

    def _hear(self, event: Event) -> None:
        self._witness.hearing.heard(event)

    async def _play(self, scene: Scene, group: anyio.abc.TaskGroup) -> Drain | Stop:
        """Do what is planned, each at its time, until the end or until it is to stop."""
        while self._left:
            step = self._left[0]
            await anyio.sleep(max(0.0, step.at - self._clock.monotonic()))
            self._left.pop(0)
            if step.name in REOPEN:
                return Drain(timedelta(seconds=2)) if step.name == REOPEN[0] else Stop()
            group.start_soon(self._perform, scene, step)
        await anyio.sleep(10)
        await self._rest(scene)
        return Drain(timedelta(seconds=10))

    async def _perform(self, scene: Scene, step: Step) -> None:
        verbs = {**self._trial.operations, **self._trial.troubles}
        self._say(f"> {step.name} #{step.seed}")
        try:
            said = await verbs[step.name](scene, step.rng())
        except TaskmillError as error:
            said = f"{type(error).__name__}: {str(error)[:100]}"
        self._say(f"< {step.name} #{step.seed}: {said}")

    async def _rest(self, scene: Scene) -> None:
        """Take away all that stands in the way; then everything ends."""
        self._world.heal()
        self._world.set_clock_right()
        self._say("--- calm")
        await self._free(scene)
        fewest, since = math.inf, self._clock.monotonic()
        while left := self._witness.overdue.left(self._world.disk.ties()):
            if len(left) < fewest:
                fewest, since = len(left), self._clock.monotonic()
            elif self._clock.monotonic() - since > REST:
                shown = ", ".join(f"{row.id} ({row.status})" for row in left[:10])
                text = f"{len(left)} tasks are left, none of them ended in {REST:.0f} s: {shown}"
                self._witness.seen.broken("L3", text)
            await anyio.sleep(5)
        await anyio.sleep(1)
        self._is_done = True
        wrong = self._trial.check(self._world)
        if wrong is not None:
            self._witness.seen.broken("CHECK", wrong)

    async def _free(self, scene: Scene) -> None:
        scheduler, bounds = scene.scheduler, self._trial.bounds
        scheduler.set_max_concurrency(bounds.max_concurrency or 16)
        for handle in scene.handles():
            handle.set_max_concurrency(bounds.domains.get(handle.name))
        self._witness.freed(bounds)
        for each in await scheduler.schedules():
            if each.status is not ScheduleStatus.ENDED:
                handle = next(h for h in scene.handles() if h.name == each.domain)
                await handle.cancel_schedule(each.name)
        for handle in scene.handles():
            await handle.resume()
        for scope, name in sorted(self._witness.seen.pauses):
            if scope == PauseScope.GROUP.value:
                await scheduler.resume_group(name)
        await scheduler.resume()


def _alone(error: BaseException) -> BaseException:
    """The one error in nested groups, or the group that holds more than one."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    group = cast("BaseExceptionGroup[BaseException]", error)  # an isinstance check loses the type
    return _alone(group.exceptions[0]) if len(group.exceptions) == 1 else group
