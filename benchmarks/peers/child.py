"""How one run goes: the process that measures one library once, and writes down what it found.

It runs in the environment of the library: ``python -m benchmarks.peers.child ASSIGNMENT RESULT``,
a JSON object and the file for another one.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import statistics
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from time import perf_counter

from benchmarks.peers.harness import Adapter, Assignment, Ledger, Measure

BATCH = 1000
IN_FLIGHT = 50
WARM = 20
"""Tasks that are submitted first and not timed; they are counted like the others."""
PROBES = 200
SETTLED = 0.5
"""Seconds that a worker has to come up, or to run what it should not."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one run gave."""

    version: str
    settings: str
    n: int
    value: float | None
    """Tasks a second, or the median in milliseconds; None where the library has no such call."""
    p99: float | None = None
    problem: str | None = None
    """What is wrong with the run; None where every task ran once and none is left."""


async def measure(adapter: Adapter, assignment: Assignment, ledger: Ledger) -> Finding:
    """Do one run."""
    asked, n = Measure(assignment.measure), assignment.n
    if asked is Measure.BULK and not adapter.has_bulk:
        return _finding(adapter, n, None)
    await adapter.open()
    try:
        if asked is Measure.LATENCY:
            return await _latency(adapter, ledger, min(n, PROBES))
        if asked is Measure.TOGETHER:
            return await _together(adapter, ledger, n)
        return await _queued(adapter, ledger, n, asked)
    finally:
        await adapter.close()


async def _queued(adapter: Adapter, ledger: Ledger, n: int, asked: Measure) -> Finding:
    """Time the submits, and then what the worker takes for all that is queued."""
    await _submit(adapter, range(WARM), Measure.SUBMIT)
    numbers = range(WARM, WARM + n)
    start = perf_counter()
    await _submit(adapter, numbers, fastest(adapter) if asked is Measure.DRAIN else asked)
    taken = perf_counter() - start
    await adapter.leave()
    ledger.expect(WARM + n)
    start = perf_counter()
    await adapter.start()
    await _wait(ledger, WARM + n)
    drained = ledger.last - start
    problem = await _stop(adapter, ledger, WARM + n)
    rate = (WARM + n) / drained if asked is Measure.DRAIN else n / taken
    return _finding(adapter, n, rate, problem=problem)


async def _together(adapter: Adapter, ledger: Ledger, n: int) -> Finding:
    """Time from the first submit to the last run, with a worker that is up."""
    await adapter.leave()
    await adapter.start()
    ledger.expect(WARM)
    await _submit(adapter, range(WARM), Measure.SUBMIT)
    await _wait(ledger, WARM)
    await asyncio.sleep(SETTLED)
    ledger.expect(WARM + n)
    start = perf_counter()
    await _submit(adapter, range(WARM, WARM + n), fastest(adapter))
    await _wait(ledger, WARM + n)
    taken = ledger.last - start
    problem = await _stop(adapter, ledger, WARM + n)
    return _finding(adapter, n, n / taken, problem=problem)


async def _latency(adapter: Adapter, ledger: Ledger, probes: int) -> Finding:
    """Take the times from a submit to the start of its handler, on an idle worker."""
    loop, chance = asyncio.get_running_loop(), random.Random(0)
    await adapter.leave()
    await adapter.start()
    ledger.expect(WARM)
    await _submit(adapter, range(WARM), Measure.SUBMIT)
    await _wait(ledger, WARM)
    await asyncio.sleep(2 * SETTLED)
    seconds: list[float] = []
    for number in range(WARM, WARM + probes):
        # uneven, so that a worker that looks now and then is not met at the same moment each time
        await asyncio.sleep(chance.uniform(0.01, 0.03 + adapter.pause))
        ran: asyncio.Future[float] = loop.create_future()
        ledger.tell(number, partial(_note_from_anywhere, ran))
        start = perf_counter()
        await adapter.submit(number)
        async with asyncio.timeout(30):
            seconds.append(await ran - start)
    problem = await _stop(adapter, ledger, WARM + probes)
    ordered = sorted(seconds)
    late = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    median = statistics.median(ordered)
    return _finding(adapter, probes, median * 1e3, p99=late * 1e3, problem=problem)


def _note_from_anywhere(ran: asyncio.Future[float], now: float) -> None:
    ran.get_loop().call_soon_threadsafe(_note, ran, now)


def _note(ran: asyncio.Future[float], now: float) -> None:
    if not ran.done():
        ran.set_result(now)


def fastest(adapter: Adapter) -> Measure:
    """How many tasks are submitted where the submits are not what is measured."""
    return Measure.BULK if adapter.has_bulk else Measure.IN_FLIGHT


async def _submit(adapter: Adapter, numbers: Sequence[int], how: Measure) -> None:
    match how:
        case Measure.BULK:
            for start in range(0, len(numbers), BATCH):
                await adapter.submit_many(numbers[start : start + BATCH])
        case Measure.IN_FLIGHT:
            rest = iter(numbers)
            async with asyncio.TaskGroup() as group:
                for _ in range(IN_FLIGHT):
                    group.create_task(_feed(adapter, rest))
        case _:
            await _feed(adapter, iter(numbers))


async def _feed(adapter: Adapter, numbers: Iterator[int]) -> None:
    for number in numbers:
        await adapter.submit(number)


async def _wait(ledger: Ledger, n: int) -> None:
    """Wait until all expected tasks have run, or long after they should have."""
    given_up = perf_counter() + 10 + n / 100
    # some libraries run their tasks in threads; the time that counts is the ledger's
    while not ledger.all_ran and perf_counter() < given_up:  # noqa: ASYNC110
        await asyncio.sleep(0.02)


async def _stop(adapter: Adapter, ledger: Ledger, n: int) -> str | None:
    """Stop the worker and return what is wrong, by the ledger or by the store."""
    await asyncio.sleep(SETTLED)
    await adapter.stop()
    problem = ledger.find_problem(n)
    remaining = await adapter.remaining()
    if problem is None and remaining:
        return f"every task ran, and the store has {remaining} that are not done"
    return problem


def _finding(
    adapter: Adapter,
    n: int,
    value: float | None,
    *,
    p99: float | None = None,
    problem: str | None = None,
) -> Finding:
    return Finding(
        version=adapter.version,
        settings=adapter.settings,
        n=n,
        value=value,
        p99=p99,
        problem=problem,
    )


def main(arguments: Sequence[str]) -> int:
    """Carry out the assignment."""
    assigned, result = arguments
    assignment = Assignment(**json.loads(assigned))
    logging.basicConfig(level=logging.ERROR)
    ledger = Ledger()
    try:
        module = import_module(f"benchmarks.peers.adapters.{assignment.adapter}")
        adapter: Adapter = module.ADAPTER(assignment, ledger.ran)
        found = asyncio.run(measure(adapter, assignment, ledger))
    except Exception:  # noqa: BLE001 - what a library raises ends this process, and is read above
        traceback.print_exc()
        return 1
    Path(result).write_text(json.dumps(asdict(found)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # some libraries leave threads behind that never end
