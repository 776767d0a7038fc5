"""What an explored scheduler is asked to do: every verb of its API, with arguments by chance."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio
import attrs

from taskmill.define.task import Task
from taskmill.handle import DomainHandle
from taskmill.model.choices import OnDependencyFailure, OnDuplicate, TtlFrom
from taskmill.model.options import SubmitOptions
from taskmill.model.outcomes import SubmitOutcome, Submitted
from taskmill.model.policies import Priority
from taskmill.model.record import TaskId
from taskmill.model.schedules import CatchUp, Every, Overlap
from taskmill.model.sharing import GroupPolicy, RateLimit
from taskmill.model.status import TaskStatus
from taskmill.scheduler import Scheduler
from taskmill.testing.witness import Witness
from taskmill.testing.world import World

if TYPE_CHECKING:
    from taskmill.testing.trial import Trial

PRIORITIES = (Priority.REALTIME, Priority.HIGH, Priority.NORMAL, Priority.BACKGROUND, 100)


@attrs.frozen
class Scene:
    """What operations act on: an open scheduler, and what has been seen so far."""

    scheduler: Scheduler
    trial: Trial
    world: World
    witness: Witness

    def ids(self) -> list[TaskId]:
        """The tasks there are, in order."""
        return [TaskId(task) for task in sorted(self.witness.seen.rows)]

    def some_id(self, rng: Random) -> TaskId:
        """A task that is there; mostly one of the latest."""
        known = self.ids() or [TaskId(1)]
        return rng.choice(known[-8:] if rng.random() < 0.7 else known)

    def handles(self) -> list[DomainHandle[Any]]:
        """The domains that there are tasks of, by name."""
        return [self.scheduler.domain(key) for key in self.trial.domains]

    def groups(self) -> list[str]:
        """The groups with limits of their own, and those there are tasks of."""
        named = {row.group for row in self.witness.seen.rows.values() if row.group is not None}
        return sorted(named | set(self.witness.seen.bounds.groups)) or ["group"]


Operation: TypeAlias = Callable[[Scene, Random], Awaitable[str]]
"""Does one thing with a scene and says what came of it; a TaskmillError is an answer, too."""


def any_options(rng: Random, known: Sequence[TaskId]) -> SubmitOptions:
    """Options by chance, from all there are; ``known`` are the ids to depend on."""
    options: SubmitOptions = {}
    if rng.random() < 0.2:
        options["delay"] = timedelta(seconds=rng.choice([0.5, 3, 10]))
    if rng.random() < 0.3:
        options["priority"] = int(rng.choice(PRIORITIES))
    if rng.random() < 0.15:
        options["ttl"] = timedelta(seconds=rng.choice([0.5, 2, 20]))
        options["ttl_from"] = rng.choice(list(TtlFrom))
    if rng.random() < 0.25 and known:
        recent = known[-6:]
        options["depends_on"] = rng.sample(recent, min(len(recent), rng.randint(1, 3)))
        options["on_dependency_failure"] = rng.choice(list(OnDependencyFailure))
    if rng.random() < 0.4:
        options["on_duplicate"] = rng.choice(list(OnDuplicate))
    if rng.random() < 0.1:
        options["requeue"] = False
    if rng.random() < 0.1:
        options["unique_for"] = timedelta(seconds=5)
    if rng.random() < 0.1:
        options["key"] = rng.choice("kl")
    if rng.random() < 0.15:
        options["timeout"] = timedelta(seconds=rng.choice([0.3, 2]))
    if rng.random() < 0.2:
        options["tags"] = {"colour": rng.choice(["red", "blue"])}
    if rng.random() < 0.1:
        options["preemptible"] = False
    return options


async def submit(scene: Scene, rng: Random) -> str:
    task = scene.trial.task(rng)
    options = scene.trial.options(rng, scene.ids())
    [submitted] = await _submit(scene, [task], options)
    return f"{_shown(task, options)}: {submitted.id} {submitted.outcome.value}"


async def submit_many(scene: Scene, rng: Random) -> str:
    tasks = [scene.trial.task(rng) for _ in range(rng.randint(2, 6))]
    options = scene.trial.options(rng, scene.ids())
    submitted = await _submit(scene, tasks, options)
    return f"{len(tasks)} tasks: " + ", ".join(f"{s.id} {s.outcome.value}" for s in submitted)


async def submit_and_leave(scene: Scene, rng: Random) -> str:
    """A caller that is cancelled while its submit is under way."""
    with anyio.move_on_after(rng.choice([0, 0.001, 0.003])):
        return await submit(scene, rng)
    return "the caller left"


async def _submit(
    scene: Scene, tasks: Sequence[Task[Any, Any]], options: SubmitOptions
) -> list[Submitted[Any]]:
    submitted = await scene.scheduler.submit_many(tasks, **options)
    needs = [each.id if isinstance(each, Submitted) else each for each in _needs(options)]
    for each in submitted:
        is_new = each.outcome in (SubmitOutcome.INSERTED, SubmitOutcome.SUPERSEDED)
        scene.witness.calls.accepted(each.id, needs, is_new=is_new)
    return submitted


def _needs(options: SubmitOptions) -> Sequence[TaskId | Submitted[Any]]:
    return list(options.get("depends_on", ()))


async def cancel(scene: Scene, rng: Random) -> str:
    task, since = scene.some_id(rng), scene.witness.seen.changes
    done = await scene.scheduler.cancel(task)
    if done:
        scene.witness.calls.cancelled(task, since)
    return f"{task}: {done}"


async def cancel_where(scene: Scene, rng: Random) -> str:
    since = scene.witness.seen.changes
    done = await scene.scheduler.cancel_where(tags={"colour": rng.choice(["red", "blue"])})
    for task in done:
        scene.witness.calls.cancelled(task, since)
    return f"{done}"


async def retry(scene: Scene, rng: Random) -> str:
    ended = [
        r.id for r in scene.witness.seen.rows.values() if r.status in ("failed", "dead", "blocked")
    ]
    task = TaskId(rng.choice(sorted(ended))) if ended else scene.some_id(rng)
    with scene.witness.calls.reviving(task):
        await scene.scheduler.retry(task)
    return f"{task}"


async def retry_where(scene: Scene, rng: Random) -> str:
    status = [TaskStatus.FAILED, TaskStatus.DEAD, TaskStatus.CANCELLED]
    with scene.witness.calls.reviving():
        done = await scene.scheduler.retry_where(status=rng.sample(status, 2))
    return f"{done}"


async def reprioritise(scene: Scene, rng: Random) -> str:
    task, priority = scene.some_id(rng), int(rng.choice(PRIORITIES))
    await scene.scheduler.reprioritise(task, priority)
    return f"{task} to {priority}"


async def reschedule(scene: Scene, rng: Random) -> str:
    task, delay = scene.some_id(rng), timedelta(seconds=rng.choice([-1, 1, 6]))
    await scene.scheduler.reschedule(task, scene.world.clock.now() + delay)
    return f"{task} to {delay.total_seconds():+.0f} s"


async def delete(scene: Scene, rng: Random) -> str:
    count = await scene.scheduler.delete(
        status=[rng.choice([TaskStatus.COMPLETED, TaskStatus.DEAD])]
    )
    return f"{count} tasks"


async def pause(scene: Scene, rng: Random) -> str:
    """Pause something for a while; the process may die meanwhile, and the pause stays."""
    interrupt = rng.random() < 0.6
    length = rng.choice([0.2, 2, 6])
    match rng.choice(["scheduler", "domain", "group"]):
        case "scheduler":
            await scene.scheduler.pause(interrupt=interrupt)
            await anyio.sleep(length)
            await scene.scheduler.resume()
            return f"all for {length} s"
        case "domain":
            handle = rng.choice(scene.handles())
            await handle.pause(interrupt=interrupt)
            await anyio.sleep(length)
            await handle.resume()
            return f"domain {handle.name} for {length} s"
        case _:
            group = rng.choice(scene.groups())
            until = scene.world.clock.now() + timedelta(seconds=length)
            await scene.scheduler.pause_group(group, until=until)
            return f"group {group} for {length} s"


async def set_cap(scene: Scene, rng: Random) -> str:
    cap = rng.randint(1, 5)
    if rng.random() < 0.5:
        scene.scheduler.set_max_concurrency(cap)
        scene.witness.seen.bounds.max_concurrency = cap
        return f"all {cap}"
    handle = rng.choice(scene.handles())
    own = rng.choice([cap, None])
    handle.set_max_concurrency(own)
    scene.witness.seen.bounds.domains[handle.name] = own
    return f"domain {handle.name} {own}"


async def set_group(scene: Scene, rng: Random) -> str:
    group, cap = rng.choice(scene.groups()), rng.choice([None, 1, 2, 3])
    scene.scheduler.set_group(group, GroupPolicy(max_concurrency=cap, weight=rng.randint(1, 4)))
    scene.witness.seen.bounds.groups[group] = cap
    return f"{group} cap {cap}"


async def set_rate(scene: Scene, rng: Random) -> str:
    task = scene.trial.task(rng)
    limit = rng.choice([None, RateLimit(2, per=timedelta(seconds=1)), RateLimit(1, burst=3)])
    scene.scheduler.set_rate(type(task), limit)
    scene.witness.claims.rated(task.task_type, limit)
    return f"{task.task_type} {limit and (limit.permits, limit.burst)}"


async def schedule(scene: Scene, rng: Random) -> str:
    task, name = scene.trial.task(rng), rng.choice("ab")
    rule = Every(
        timedelta(seconds=rng.choice([0.9, 5])),
        max_runs=rng.choice([None, 3]),
        after_completion=rng.random() < 0.2,
        catch_up=rng.choice(list(CatchUp)),
        overlap=rng.choice(list(Overlap)),
    )
    domain = task.task_type.partition("::")[0]
    scene.witness.commits.rescheduled(domain, name)
    await scene.scheduler.schedule(task, rule, name=name)
    return f"{name}: {task!r} every {rule.interval.total_seconds()} s {rule.catch_up.value}"


async def steer_schedule(scene: Scene, rng: Random) -> str:
    handle, name = rng.choice(scene.handles()), rng.choice("ab")
    verb = rng.choice([handle.pause_schedule, handle.resume_schedule, handle.cancel_schedule])
    found = await verb(name)
    return f"{name} of {handle.name}: {found.status.value}"


async def wait(scene: Scene, rng: Random) -> str:
    task = scene.some_id(rng)
    try:
        record = await scene.scheduler.wait(task, timeout=timedelta(seconds=rng.choice([1, 20])))
    except TimeoutError:
        return f"{task}: not yet"
    if not record.status.is_terminal:
        scene.witness.seen.broken("W1", f"wait returned task {task} as {record.status.value}")
    return f"{task}: {record.status.value}"


async def look(scene: Scene, rng: Random) -> str:
    """Ask what people ask who look on."""
    task = scene.some_id(rng)
    told = await scene.scheduler.explain(task)
    seen = await scene.scheduler.snapshot()
    await scene.scheduler.tasks(limit=5)
    await scene.scheduler.count_by_tag("colour")
    return f"{task} {told.status.value}; {len(seen.running)} run, {seen.pending_count} wait"


OPERATIONS: Mapping[str, Operation] = {
    verb.__name__: verb
    for verb in (
        submit,
        submit_many,
        submit_and_leave,
        cancel,
        cancel_where,
        retry,
        retry_where,
        reprioritise,
        reschedule,
        delete,
        pause,
        set_cap,
        set_group,
        set_rate,
        schedule,
        steer_schedule,
        wait,
        look,
    )
}
"""By name: what every scheduler can be asked."""


def _shown(task: Task[Any, Any], options: SubmitOptions) -> str:
    return " ".join([repr(task), *(f"{name}={_brief(value)}" for name, value in options.items())])


def _brief(value: object) -> str:
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g}s"
    return str(value)
