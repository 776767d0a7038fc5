"""One point of a curve, in a process of its own: ``python -m benchmarks.scale.point``."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import perf_counter, process_time

import anyio
import attrs
import cattrs

from benchmarks.scale.shape import Scale, Shape, kinds, scheduler, submit
from taskmill import Scheduler, TaskStatus


@attrs.frozen(kw_only=True)
class Order:
    """What is to be measured."""

    path: Path
    """A filled file, which is changed."""
    shape: Shape
    n: int
    """How many tasks are drained, and then submitted."""
    concurrency: int


@attrs.frozen(kw_only=True)
class Point:
    """What was measured; costs are microseconds for each task."""

    open_ms: float
    rss_mb: float
    """The most memory that the process had, once it had drained."""
    drain_cpu_us: float
    """CPU time of all threads."""
    drain_us: float
    submit_cpu_us: float
    submit_us: float
    problem: str | None = None
    """What is wrong; None where every task that was to run has run once."""


def taken(order: Order) -> Point:
    """Measure in a fresh process; RuntimeError where that fails."""
    command = [sys.executable, "-m", "benchmarks.scale.point"]
    given = json.dumps(cattrs.unstructure(order), default=str)
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"measuring {order.shape} failed: {done.stderr or done.returncode}")
    return cattrs.structure(json.loads(done.stdout), Point)


async def measure(order: Order) -> Point:
    """Open the file, drain the first ``n`` tasks, and submit as many while no slot is free."""
    shape, n = order.shape, order.n
    runs, held = Counter[int](), anyio.Event()
    started = waiting = 0

    async def run(number: int) -> None:
        nonlocal started, waiting
        if started < n:
            started += 1
            runs[number] += 1
            return
        waiting += 1  # what was drained has settled by the time all slots are taken for good
        if waiting == min(order.concurrency, shape.stay):
            held.set()
        await anyio.sleep_forever()

    of = kinds(shape, run)
    made = scheduler(order.path, shape, of, order.concurrency)
    start = perf_counter()
    async with made as opened:
        open_ms = (perf_counter() - start) * 1e3
        drain_us, drain_cpu_us = await _costs(held.wait, n)
        rss_mb = _peak_mb()
        problem = await _find_problem(opened, runs, n)
        further = range(n + shape.stay, n + shape.stay + n)
        submit_us, submit_cpu_us = await _costs(lambda: submit(opened, shape, of, further), n)
        active = await opened.count()
    if active != shape.stay + n:
        problem = problem or f"{active} tasks are active in the end, not {shape.stay + n}"
    return Point(
        open_ms=open_ms,
        rss_mb=rss_mb,
        drain_cpu_us=drain_cpu_us,
        drain_us=drain_us,
        submit_cpu_us=submit_cpu_us,
        submit_us=submit_us,
        problem=problem,
    )


async def _costs(verb: Callable[[], Awaitable[object]], n: int) -> tuple[float, float]:
    """Microseconds for each of ``n`` tasks, of real time and of CPU time."""
    since, used = perf_counter(), process_time()
    with anyio.fail_after(60 + n / 100):
        await verb()
    return (perf_counter() - since) / n * 1e6, (process_time() - used) / n * 1e6


async def _find_problem(opened: Scheduler, runs: Counter[int], n: int) -> str | None:
    repeated = [number for number, times in runs.items() if times > 1]
    if repeated:
        return f"{len(repeated)} tasks ran more than once, such as task {repeated[0]}"
    completed = await opened.domain(Scale).count(status=TaskStatus.COMPLETED)
    return None if completed == n else f"{n} tasks ran, and the store has {completed} as completed"


def _peak_mb() -> float:
    """Linux counts the memory of whoever started a process into its own ``ru_maxrss``."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
    [peak] = [line.split()[1] for line in lines if line.startswith("VmHWM")]
    return int(peak) / 1024


if __name__ == "__main__":
    ordered = cattrs.structure(json.load(sys.stdin), Order)
    print(json.dumps(cattrs.unstructure(anyio.run(measure, ordered))))
