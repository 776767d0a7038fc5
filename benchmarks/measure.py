"""How figures are taken: scenarios and their floors in turns, each on a fresh database."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Awaitable, Callable, Sequence
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import attrs

from benchmarks.floors import Floor
from benchmarks.scenario import Scenario
from benchmarks.setting import Sample, Setting


@attrs.frozen
class Figures:
    """What the runs of a scenario gave, and those of its floors in the same turns."""

    scenario: Scenario
    samples: list[Sample]
    floors: list[tuple[Floor, list[Sample]]]

    @property
    def problem(self) -> str | None:
        """What was wrong with the first run that was not right, of it or of a floor."""
        runs = [self.samples, *(samples for _, samples in self.floors)]
        return next((s.problem for s in chain(*runs) if s.problem is not None), None)

    @property
    def ratio(self) -> float:
        """That of a run to its first floor in the same turn: the one in the middle.

        A machine that is slow for some of the turns is so for both.
        """
        pairs = zip(self.samples, self.floors[0][1], strict=True)
        return statistics.median(own.value / max(floor.value, 1e-9) for own, floor in pairs)


def median(samples: Sequence[Sample]) -> float:
    """The value in the middle."""
    return statistics.median(sample.value for sample in samples)


def measure(
    scenarios: Sequence[Scenario], setting: Setting, *, repeat: int, told: Callable[[str], None]
) -> list[Figures]:
    """Run every scenario and its floors ``repeat`` times, in turns; ``told`` hears of each.

    In every other turn a scenario comes before its floors.
    """
    taken = [
        Figures(scenario, [], [(floor, []) for floor in scenario.floors]) for scenario in scenarios
    ]
    for turn in range(repeat):
        for figures in taken:
            scenario = figures.scenario
            told(f"{scenario.name} {turn + 1}/{repeat}")
            own = scenario.setting(setting)
            runs = [
                (scenario.measure, figures.samples),
                *((floor.measure, samples) for floor, samples in figures.floors),
            ]
            for run, samples in reversed(runs) if turn % 2 else runs:
                samples.append(_sample(run, own))
    return taken


def _sample(run: Callable[[Setting], Awaitable[Sample]], setting: Setting) -> Sample:
    gc.collect()
    with TemporaryDirectory(prefix="bench-", dir=setting.folder) as folder:
        return anyio.run(
            run,
            attrs.evolve(setting, folder=Path(folder)),
            backend_options={"use_uvloop": setting.uvloop},
        )
