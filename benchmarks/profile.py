"""Where the CPU time of a task's life goes, stage by stage: ``python -m benchmarks.profile``.

Tasks that do nothing are submitted 1,000 at a time and run, in memory and from a file. Each run
is a process of its own, which does it twice: once to know what a task costs, once with samples
being taken (see `benchmarks.sampling`).
"""

from __future__ import annotations

import math
import resource
import signal
import subprocess
import sys
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import process_time

import anyio
import attrs

from benchmarks.__main__ import positive
from benchmarks.kinds import steps
from benchmarks.report import aligned
from benchmarks.sampling import sampled, stacks
from benchmarks.setting import Setting
from benchmarks.stages import STAGES, place_of
from benchmarks.work import Ledger, batches, find_problem, finish, scheduler

PLACES = ("memory", "file")
DEAREST = 5
"""How many functions of each stage are named."""


@attrs.frozen
class Profile:
    """What the runs in one place gave."""

    costs: list[float]
    """Microseconds of CPU time for each task, of each run, while no samples were taken."""
    sampled: list[float]
    """The same while they were."""
    samples: Counter[str]
    """How many were taken in each stage."""
    places: Counter[tuple[str, str]]
    """The same, by the stage and the function."""
    lost: int
    """How many runs the sampler has crashed."""

    @property
    def cost(self) -> float:
        """Microseconds of CPU time for each task."""
        return median(self.costs)

    def part(self, stage: str) -> float:
        """Which part of the samples a stage has."""
        return self.samples[stage] / max(self.samples.total(), 1)

    def error(self, stage: str) -> float:
        """The standard error of `part`."""
        part = self.part(stage)
        return math.sqrt(part * (1 - part) / max(self.samples.total(), 1))


def main(arguments: Sequence[str] | None = None) -> int:
    """Profile and print a table; return 1 where a run went wrong."""
    parser = ArgumentParser("python -m benchmarks.profile", description=__doc__)
    add = parser.add_argument
    add("places", nargs="*", help="where: memory, file, or both unless named")
    add("-n", type=positive, default=10_000, help="tasks in a run (default: %(default)s)")
    add("--runs", type=positive, default=8, help="runs in each place (default: %(default)s)")
    add("--concurrency", type=positive, default=16, help="slots (default: %(default)s)")
    add("--dir", type=Path, help="where databases are made (default: the system's place)")
    add("--functions", action="store_true", help="name the dearest functions of each stage")
    add("--one", choices=PLACES, help="do one run, and leave its samples in --dir")
    asked = parser.parse_args(arguments)
    unknown = [place for place in asked.places if place not in PLACES]
    if unknown:
        parser.error(f"there is no place {unknown[0]!r}; there are {', '.join(PLACES)}")
    if asked.one is not None:
        setting = Setting(
            folder=asked.dir,
            n=asked.n,
            concurrency=asked.concurrency,
            durability="power",
            in_memory=asked.one == "memory",
        )
        print(*anyio.run(_run_twice, setting))
        return 0
    options = ["-n", str(asked.n), "--concurrency", str(asked.concurrency)]
    try:
        profiles = {
            place: _profile(place, options, asked.runs, asked.dir)
            for place in asked.places or PLACES
        }
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    print(table(profiles))
    if asked.functions:
        print("", dearest(profiles), sep="\n")
    return 0


def _profile(place: str, options: Sequence[str], runs: int, folder: Path | None) -> Profile:
    """Take the samples of so many whole runs."""
    profile, lost = Profile([], [], Counter(), Counter(), 0), 0
    while len(profile.costs) < runs:
        with TemporaryDirectory(prefix="taskmill-", dir=folder) as own:
            command = [sys.executable, "-m", "benchmarks.profile", "--one", place, "--dir", own]
            done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
            if done.returncode == -signal.SIGSEGV and lost < 2 * runs:
                lost += 1
                continue
            if done.returncode:
                raise RuntimeError(f"a run failed: {done.stderr or done.returncode}")
            plain, with_samples = map(float, done.stdout.split())
            profile.costs.append(plain)
            profile.sampled.append(with_samples)
            found = [place_of(stack) for stack in stacks(Path(own) / "samples")]
            profile.places.update(found)
            profile.samples.update(stage for stage, _ in found)
    return attrs.evolve(profile, lost=lost)


async def _run_twice(setting: Setting) -> tuple[float, float]:
    """Run the tasks without taking samples and then with; microseconds for each task."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a frame half made may crash the sampler
    taken: list[float] = []
    for number in range(2):
        folder = setting.folder / str(number)
        folder.mkdir()
        samples = setting.folder / "samples" if number else None
        taken.append(await _run(attrs.evolve(setting, folder=folder), samples))
    return taken[0], taken[1]


async def _run(setting: Setting, samples: Path | None) -> float:
    ledger, tasks = Ledger(), [*batches(steps(setting.n))]
    async with scheduler(setting, ledger) as opened:

        async def live() -> None:
            for batch in tasks:
                await opened.submit_many(batch)
            await finish(opened, setting.n)

        since = process_time()
        if samples is None:
            await live()
        else:
            with sampled(samples):
                await live()
        taken = process_time() - since
        problem = await find_problem(opened, ledger, setting.n)
    if problem is not None:
        raise RuntimeError(problem)
    return taken / setting.n * 1e6


def table(profiles: dict[str, Profile]) -> str:
    """The stages in the order of a task's life: microseconds of CPU time a task, and its part."""
    rows = [("stage", *(cell for place in profiles for cell in (place, "part", "+-")))]
    rows += [
        (stage, *_cells(profiles, partial(_of_stage, stage)))
        for stage in STAGES
        if any(profile.samples[stage] for profile in profiles.values())
    ]
    rows.append(("all of it", *_cells(profiles, _of_all)))
    return "\n".join([*aligned(rows), "", *_how(profiles)])


def dearest(profiles: dict[str, Profile]) -> str:
    """The functions of each stage with the most samples: what they cost each task."""
    everywhere = sum((profile.places for profile in profiles.values()), Counter[tuple[str, str]]())
    rows = [("stage", "function", *profiles)]
    for stage in STAGES:
        places = [place for place, _ in everywhere.most_common() if place[0] == stage]
        for place in places[:DEAREST]:
            name = place[1] or "(none of taskmill's)"
            rows.append((stage, name, *(_cost(place, profile) for profile in profiles.values())))
    return "\n".join(aligned(rows))


def _cost(place: tuple[str, str], profile: Profile) -> str:
    return f"{profile.places[place] / max(profile.samples.total(), 1) * profile.cost:.1f} us"


def _cells(profiles: dict[str, Profile], cells: Callable[[Profile], tuple[str, ...]]) -> list[str]:
    return [cell for profile in profiles.values() for cell in cells(profile)]


def _of_stage(stage: str, profile: Profile) -> tuple[str, ...]:
    part = profile.part(stage)
    return f"{part * profile.cost:.1f} us", f"{part:.1%}", f"{profile.error(stage):.1%}"


def _of_all(profile: Profile) -> tuple[str, ...]:
    return f"{profile.cost:.1f} us", f"{sum(map(profile.part, STAGES)):.1%}", ""


def _how(profiles: dict[str, Profile]) -> list[str]:
    lines = [
        "CPU time of all threads, user and system, of submit_many and the whole drain: the median",
        "of the runs without sampling. The parts are of the samples: at each tick of the profiling",
        "timer, the stack of the thread that was using the CPU, with or without the interpreter's",
        "lock; +- is their standard error. Waiting for the disk costs no CPU and is not in here.",
    ]
    for place, profile in profiles.items():
        dearer = median(profile.sampled) / profile.cost - 1
        lost = f", {profile.lost} runs lost to the sampler" if profile.lost else ""
        lines.append(
            f"{place}: {profile.samples.total():,} samples in {len(profile.costs)} runs{lost}; "
            f"with samples being taken, a task costs {dearer:+.0%}"
        )
    return lines


if __name__ == "__main__":
    sys.exit(main())
