"""Slots on the running engine: never too many taken, never one left free while work waits."""

from __future__ import annotations

from collections import Counter
from typing import Any

import anyio
import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from taskmill import (
    Context,
    Domain,
    DomainKey,
    GroupPolicy,
    RetryPolicy,
    Scheduler,
    Task,
    TaskStatus,
)
from taskmill.testing import virtual_time


class Left(DomainKey, name="left"): ...


class Right(DomainKey, name="right"): ...


class Step(Task[Left], name="step"):
    number: int
    seconds: float
    fails: bool


class Turn(Task[Right], name="turn"):
    number: int
    seconds: float
    fails: bool


@attrs.define
class Watch:
    """Who runs, and what was seen at each start and end."""

    caps: dict[tuple[str, str], int]
    running: Counter[tuple[str, str]] = attrs.field(factory=Counter[tuple[str, str]])
    runs: Counter[tuple[str, int]] = attrs.field(factory=Counter[tuple[str, int]])
    broken: list[str] = attrs.field(factory=list[str])

    def enter(self, domain: str, group: str | None) -> list[tuple[str, str]]:
        holds = [("all", ""), ("domain", domain)]
        if group is not None:
            holds.append(("group", group))
        for hold in holds:
            self.running[hold] += 1
            cap = self.caps.get(hold)
            if cap is not None and self.running[hold] > cap:
                self.broken.append(f"{hold}: {self.running[hold]} of {cap}")
        return holds

    def leave(self, holds: list[tuple[str, str]]) -> None:
        for hold in holds:
            self.running[hold] -= 1

    def has_room(self, domain: str, group: str | None) -> bool:
        holds = [("all", ""), ("domain", domain), ("group", group or "")]
        return all(self.running[hold] < self.caps.get(hold, 10**9) for hold in holds)


async def act(task: Step | Turn, ctx: Context[Any]) -> None:
    watch = ctx.state(Watch)
    holds = watch.enter(ctx.record.domain, ctx.record.group)
    watch.runs[ctx.record.type, task.number] += 1
    try:
        await anyio.sleep(task.seconds)
        if task.fails:
            raise ValueError
    finally:
        watch.leave(holds)


JOB = st.tuples(
    st.sampled_from([Step, Turn]),
    st.sampled_from([None, "a", "b", "c"]),
    st.integers(0, 255),
    st.sampled_from([0, 0, 1, 2, 5]),  # seconds it runs
    st.sampled_from([0, 0, 0, 1, 3]),  # seconds until it is submitted
    st.booleans(),
)
MOMENT = 0.0137
"""Not a part of a second that handlers sleep for: nothing ends while the test looks."""
CAP = st.none() | st.integers(1, 4)


@settings(max_examples=60, deadline=None)
@given(
    jobs=st.lists(JOB, max_size=40),
    total=st.integers(1, 6),
    left=CAP,
    right=CAP,
    groups=st.dictionaries(st.sampled_from(["a", "b"]), CAP),
    default=CAP,
)
def test_no_cap_is_exceeded_and_no_eligible_task_waits_while_a_slot_is_free(
    jobs: list[Any],
    total: int,
    left: int | None,
    right: int | None,
    groups: dict[str, int | None],
    default: int | None,
) -> None:
    caps: dict[tuple[str, str], int | None] = {
        ("all", ""): total,
        ("domain", "left"): left,
        ("domain", "right"): right,
        **{("group", name): groups.get(name, default) for name in ("a", "b", "c")},
    }
    watch = Watch(caps={hold: cap for hold, cap in caps.items() if cap is not None})

    async def simulate() -> None:
        async with virtual_time() as clock:
            scheduler = Scheduler(
                ":memory:",
                domains=[
                    Domain(Left, handlers=[Step.handler(act)], max_concurrency=left),
                    Domain(Right, handlers=[Turn.handler(act)], max_concurrency=right),
                ],
                retry=RetryPolicy.constant(0),
                state=[watch],
                max_concurrency=total,
                preempt_at=None,
                groups={name: GroupPolicy(max_concurrency=cap) for name, cap in groups.items()},
                group_default=GroupPolicy(max_concurrency=default),
                clock=clock,
            )
            async with scheduler:
                for number, (kind, group, priority, seconds, wait, fails) in enumerate(jobs):
                    await anyio.sleep(wait)
                    task = kind(number=number, seconds=seconds, fails=fails)
                    await scheduler.submit(task, group=group, priority=priority)
                    await nobody_waits(scheduler)
                while await scheduler.count():
                    await anyio.sleep(0.5)
                    await nobody_waits(scheduler)
                await scheduler.idle()

    async def nobody_waits(scheduler: Scheduler) -> None:
        """A moment after anything happened, what waits is held by a full cap."""
        await anyio.sleep(MOMENT)
        for domain, kind in (("left", Step), ("right", Turn)):
            for group in (None, "a", "b", "c"):
                waiting = await scheduler.count(
                    types=[kind], group=group, status=TaskStatus.PENDING
                )
                if waiting and watch.has_room(domain, group):
                    watch.broken.append(f"{waiting} of {kind} in {group} wait beside a free slot")

    anyio.run(simulate)
    assert watch.broken == []
    for number, (kind, *_) in enumerate(jobs):
        assert watch.runs[kind.task_type, number] == 1
