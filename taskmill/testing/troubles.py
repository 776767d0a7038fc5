"""What befalls an explored scheduler: crashes, disks that fail, clocks that jump."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from random import Random

import anyio

from taskmill.store.sqlite.inline import Trouble
from taskmill.testing.operations import Operation, Scene


async def crash_now(scene: Scene, rng: Random) -> str:  # noqa: ARG001 - as every trouble
    """The process dies at this await."""
    await scene.world.crash()
    return "never said"


async def crash_at_a_call(scene: Scene, rng: Random) -> str:
    """The process dies on the way to the store, or on the way back."""
    scene.world.crash_in = rng.randint(1, 8)
    return f"in {scene.world.crash_in} ways"


async def crash_at_a_statement(scene: Scene, rng: Random) -> str:
    """The process dies inside a transaction."""
    count = rng.randint(1, 25)
    scene.world.disk.meet(Trouble.CRASH, statements=count)
    return f"in {count} statements"


async def fail_once(scene: Scene, rng: Random) -> str:
    """One statement fails: alone, or with the disk."""
    trouble, count = (
        rng.choice([Trouble.REFUSED, Trouble.FAILING, Trouble.BUSY]),
        rng.randint(1, 12),
    )
    scene.world.disk.meet(trouble, statements=count)
    scene.witness.seen.troubled()
    return f"{trouble.value}, in {count} statements"


async def disk_in_trouble(scene: Scene, rng: Random) -> str:
    """Nothing can be written for a while."""
    trouble = rng.choice([Trouble.FULL, Trouble.FAILING, Trouble.BUSY])
    seconds = rng.choice([0.01, 0.5, 8])
    scene.world.disk.lasting = trouble
    try:
        scene.witness.seen.troubled()
        await anyio.sleep(seconds)
    finally:
        scene.world.disk.lasting = None
        scene.witness.seen.troubled()
    return f"{trouble.value} for {seconds} s"


async def slow_store(scene: Scene, rng: Random) -> str:
    """Every call takes long for a while."""
    slow, seconds = rng.choice([0.05, 0.4]), rng.choice([1, 6])
    scene.world.pace.slow = slow
    try:
        scene.witness.seen.troubled()
        await anyio.sleep(seconds)
    finally:
        scene.world.pace.slow = 0
        scene.witness.seen.troubled()
    return f"{slow} s each way for {seconds} s"


async def clock_jumps(scene: Scene, rng: Random) -> str:
    """An administrator sets the wall clock."""
    seconds = rng.choice([-600, -30, -2, 2, 30, 600])
    scene.world.set_clock(timedelta(seconds=seconds))
    return f"{seconds:+} s"


async def late_report(scene: Scene, rng: Random) -> str:
    """What a process that died had to say of a run comes late, past the writer."""
    if not scene.witness.late:
        return "none"
    settlement = rng.choice(scene.witness.late)
    row = scene.witness.seen.rows.get(settlement.id)
    if row is not None and row.status == "running" and row.run == settlement.run:
        return "none that is late"
    before = scene.witness.seen.changes
    said = scene.world.disk.settle_late(settlement)
    if scene.witness.seen.changes != before:
        what = f"a late report of run {settlement.run} changed task {settlement.id}"
        scene.witness.seen.broken("S4", what)
    return f"run {settlement.run} of task {settlement.id}: {said}"


TROUBLES: Mapping[str, Operation] = {
    verb.__name__: verb
    for verb in (
        crash_now,
        crash_at_a_call,
        crash_at_a_statement,
        fail_once,
        disk_in_trouble,
        slow_store,
        clock_jumps,
        late_report,
    )
}
"""By name: what can befall any scheduler."""
