"""Whether a new task may wait for what it depends on, and whether it has to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from taskmill.model.changes import NewTask
from taskmill.model.choices import OnDependencyFailure
from taskmill.model.effects import Fault, Refused
from taskmill.model.record import TaskId
from taskmill.model.status import TaskStatus
from taskmill.rules.steps import FindHeldUp, FindLastId, FindStates, Link, Mark, Rule, Tie, ask


@attrs.frozen
class Needs:
    """What a task depends on, judged by where that is now."""

    met: tuple[TaskId, ...] = ()
    unmet: tuple[TaskId, ...] = ()
    failed: TaskId | None = None
    """One of the unmet whose failure ends the task at once."""


NOTHING = Needs()


def judge(new: NewTask) -> Rule[Needs | Refused]:
    """Look up what ``new`` depends on; refused where that is not there."""
    if not new.depends_on:
        return NOTHING
    states = yield from ask(FindStates(new.depends_on))
    missing = [task for task in new.depends_on if task not in states]
    if missing:
        last = yield from ask(FindLastId())
        if missing[0] <= last and missing[0] > 0:
            return Refused(
                f"task {missing[0]}, which this one is to depend on, has ended and its record was "
                "deleted; how it ended is not known any more",
                Fault.PRUNED,
            )
        return Refused(
            f"there is no task {missing[0]}, which this one is to depend on", Fault.DEPENDENCY
        )
    return weigh(states, new.on_dependency_failure)


def weigh(states: Mapping[TaskId, TaskStatus], policy: OnDependencyFailure) -> Needs:
    """Which dependencies are met, with each of them in its state."""
    met: list[TaskId] = []
    unmet: list[TaskId] = []
    failed: TaskId | None = None
    for task, status in states.items():
        is_failed = status.is_terminal and status is not TaskStatus.COMPLETED
        if status is TaskStatus.COMPLETED or (is_failed and policy is OnDependencyFailure.IGNORE):
            met.append(task)
            continue
        unmet.append(task)
        if is_failed and policy is OnDependencyFailure.CANCEL and failed is None:
            failed = task
    return Needs(tuple(met), tuple(unmet), failed)


def tie(task: TaskId, needs: Needs) -> Rule[None]:
    """Have an inserted task wait for what it depends on."""
    if needs.met:
        yield from ask(Link(task, needs.met, Tie.NEEDS, met=True))
    if needs.unmet:
        yield from ask(Link(task, needs.unmet, Tie.NEEDS))
        yield from ask(Mark(needs.unmet))


def held_up_by(tasks: Iterable[TaskId]) -> Rule[frozenset[TaskId]]:
    """These tasks, and all that cannot end before one of them has."""
    found = frozenset(tasks)
    behind = tuple(sorted(found))
    while behind:
        more = yield from ask(FindHeldUp(behind))
        behind = tuple(sorted(more - found))
        found |= more
    return found


def check_circle(new: NewTask, standing: Iterable[TaskId]) -> Rule[Refused | None]:
    """Refuse a task that would wait for what waits for it.

    Its parent, and whoever waits for that, wait for it; as does, once it has taken the place of
    the ``standing`` tasks, whoever waits for those.
    """
    if not new.depends_on or (new.parent is None and not standing):
        return None
    start = [*standing] if new.parent is None else [new.parent, *standing]
    behind = yield from held_up_by(start)
    circle = sorted(behind.intersection(new.depends_on))
    if not circle:
        return None
    return Refused(
        f"this task is to depend on task {circle[0]}, which cannot end before this one has",
        Fault.DEPENDENCY,
    )
