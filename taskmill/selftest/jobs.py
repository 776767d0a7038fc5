"""The work of the checks that is done in more than one process: tasks that write a ledger."""

from __future__ import annotations

import anyio

from taskmill.define.context import Context
from taskmill.define.domain import Domain
from taskmill.define.task import DomainKey, Task
from taskmill.selftest.ledger import Ledger


class Selftest(DomainKey, name="selftest"):
    """The domain of all checks."""


class Step(Task[Selftest, int], name="step"):
    """Writes its start and its end down."""

    number: int
    is_long: bool = False
    """Whether its first run in a process that is to be killed lasts until then."""


async def _step(task: Step, ctx: Context[Selftest]) -> int:
    """Take a moment between the two entries, so that a kill can come between them."""
    ledger, run = ctx.state(Ledger), ctx.record.run
    ledger.started(ctx.id, run)
    await anyio.sleep(0.005)
    ledger.ended(ctx.id, run)
    return task.number


async def _step_until_killed(task: Step, ctx: Context[Selftest]) -> int:
    """As `_step`, where a long task's first run is not over before its process is killed."""
    if task.is_long and ctx.record.run == 1:
        ctx.state(Ledger).started(ctx.id, 1)
        await anyio.sleep_forever()
    return await _step(task, ctx)


def steps(ledger: Ledger) -> Domain[Selftest]:
    """The domain with tasks that write to ``ledger``."""
    return Domain(Selftest, handlers=[Step.handler(_step)], state=[ledger])


def endless_steps(ledger: Ledger) -> Domain[Selftest]:
    """The same for a process that is to be killed."""
    return Domain(Selftest, handlers=[Step.handler(_step_until_killed)], state=[ledger])


def no_steps() -> Domain[Selftest]:
    """The domain for who dispatches nothing of it."""
    return Domain(Selftest, handlers=[Step.handler(_step)])
