"""What is measured: every scenario there is, in the order in which it is shown."""

from __future__ import annotations

from benchmarks import floors, places, squeezing
from benchmarks.features import FEATURES
from benchmarks.idling import IDLING
from benchmarks.life import LIFE
from benchmarks.opening import OPENING
from benchmarks.polling import POLLING
from benchmarks.scenario import AtMost, OfFloor, Scenario
from benchmarks.setting import Unit

WORKERS = (
    Scenario(
        name="processes",
        description="Real files compressed by two worker processes that are up.",
        unit=Unit.RATE,
        measure=squeezing.by_two_workers,
        floors=(squeezing.ONE_WORKER, squeezing.TWO_PROCESSES),
        target=OfFloor(1.6),
        target_n=squeezing.FILES,
    ),
    Scenario(
        name="executors",
        description="Queued no-op tasks in two worker processes that are up; the time for each.",
        unit=Unit.MS,
        measure=places.in_processes,
        floors=(
            places.INLINE,
            places.THREAD,
            places.INLINE_IN_MEMORY,
            places.THREAD_IN_MEMORY,
            places.PROCESS_IN_MEMORY,
            floors.PROCESS_POOL,
        ),
        target=AtMost(1.5),
        target_n=1000,
        needs_file=True,
    ),
)

SCENARIOS = (*LIFE, *OPENING, *IDLING, *POLLING, *FEATURES, *WORKERS)
