"""How busy this machine, or this container, is."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TypeVar

import attrs

from taskmill.model.errors import ConfigurationError
from taskmill.model.resources import ResourceSample

T = TypeVar("T")

_ALPHA = 0.3
_SHORTEST = 0.05
_LOOPBACK = ("lo", "lo0")


class SystemResources:
    """Asks the operating system and, on Linux, the cgroup (version 2) this process is in.

    ``cpu`` and ``memory`` are those of the cgroup, own or ancestor, with the tightest limit; where
    none is tighter than the machine, of the CPUs this process may run on and of physical memory.
    ``read`` and ``written`` are the own cgroup's if it counts them, else those of all disks, where
    each layer counts (a RAID and the disks in it); networks are all but the loopback.

    ``cpu`` and the four rates are moving averages over samples: the first is taken as it is, then
    each new one counts 0.3 and the average before it 0.7. Samples closer than 50 ms are the same
    sample. What cannot be read, or was counted anew, is None in that sample; nothing is raised.

    The cgroup's place is looked up once, below ``root``; its limits are read with each sample.
    Raises ConfigurationError without the extra ``system``.
    """

    def __init__(
        self,
        *,
        root: Path = Path("/"),
        monotonic: Callable[[], float] = time.monotonic,  # noqa: TID251 - the injected clock
    ) -> None:
        try:
            import_module("psutil")
        except ImportError as error:
            raise ConfigurationError(
                "SystemResources needs the extra \"system\": pip install 'taskmill[system]'"
            ) from error
        self._cgroups = _cgroups(root)
        self._monotonic = monotonic
        self._cpu, self._read, self._written = _Rate(), _Rate(), _Rate()
        self._received, self._sent = _Rate(), _Rate()
        self._previous: tuple[float, ResourceSample] | None = None

    def sample(self) -> ResourceSample:
        """Return how busy it is now; takes less than a millisecond."""
        now = self._monotonic()
        if self._previous is not None and now - self._previous[0] < _SHORTEST:
            return self._previous[1]
        cpu = self._cpu.after(_cpu_counter(self._cgroups), now)
        read, written = _disk_counters(self._cgroups)
        received, sent = _network_counters()
        sample = ResourceSample(
            cpu=None if cpu is None else _share(cpu),
            memory=_memory(self._cgroups),
            read=self._read.after(read, now),
            written=self._written.after(written, now),
            received=self._received.after(received, now),
            sent=self._sent.after(sent, now),
        )
        self._previous = now, sample
        return sample


@attrs.frozen
class _Counter:
    """How much there has been since some moment, None if unknown, and what it is counted on."""

    source: object
    total: float | None


@attrs.define
class _Rate:
    """What a counter gains per second, as a moving average."""

    _source: object = None
    _total: float | None = None
    _at: float = 0.0
    _average: float | None = None

    def after(self, counter: _Counter, now: float) -> float | None:
        """Return the average with this reading; None if the reading tells nothing."""
        if counter.total is None:
            return None
        if counter.source != self._source:
            self._source, self._total, self._average = counter.source, None, None
        before, elapsed = self._total, now - self._at
        self._total, self._at = counter.total, now
        if before is None or counter.total < before:  # it wrapped around, or a device is gone
            return None
        gained = (counter.total - before) / elapsed
        average = gained if self._average is None else self._average
        self._average = average + _ALPHA * (gained - average)
        return self._average


def _cpu_counter(cgroups: Sequence[Path]) -> _Counter:
    """Seconds for which all of the CPUs this process may use would have been busy."""
    usable = _usable_cpus()
    limit = _tightest(cgroups, _cpu_quota)
    if limit is None or limit[1] >= len(usable):
        return _Counter(usable, _machine_cpu_seconds(usable))
    cgroup, cpus = limit
    used = _field(cgroup / "cpu.stat", "usage_usec")
    return _Counter(limit, None if used is None else used / 1_000_000 / cpus)


def _machine_cpu_seconds(usable: frozenset[int]) -> float | None:
    import psutil

    if len(usable) == os.cpu_count():
        times = _answer(psutil.cpu_times)
        return None if times is None else _busy(times) / len(usable)
    every = _answer(lambda: psutil.cpu_times(percpu=True)) or []
    # A container may be shown its own CPUs only, counted from 0: then all of them are meant.
    mine = [times for cpu, times in enumerate(every) if cpu in usable] or every
    return sum(map(_busy, mine)) / len(mine) if mine else None


def _busy(times: tuple[float, ...]) -> float:
    """Seconds in which a CPU worked, or another machine had it; guests are within user and nice."""
    names = ("user", "nice", "system", "irq", "softirq", "steal")
    return sum(getattr(times, name, 0.0) for name in names)


def _usable_cpus() -> frozenset[int]:
    if sys.platform == "linux":
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def _memory(cgroups: Sequence[Path]) -> float | None:
    import psutil

    machine = _answer(psutil.virtual_memory)
    limit = _tightest(cgroups, lambda cgroup: _number(_text(cgroup / "memory.max")))
    if limit is not None and (machine is None or limit[1] < machine.total):
        return _memory_within(*limit)
    return _share(1 - machine.available / machine.total) if machine and machine.total else None


def _memory_within(cgroup: Path, limit: float) -> float | None:
    """Return the share in use, without what is dropped first: files not read lately."""
    current = _number(_text(cgroup / "memory.current"))
    inactive = _field(cgroup / "memory.stat", "inactive_file")
    if current is None or inactive is None:
        return None
    return _share((current - inactive) / limit) if limit else 1.0


def _disk_counters(cgroups: Sequence[Path]) -> tuple[_Counter, _Counter]:
    import psutil

    if cgroups and (words := _text(cgroups[-1] / "io.stat").split()):
        own = cgroups[-1]
        return _Counter(own, _sum(words, "rbytes=")), _Counter(own, _sum(words, "wbytes="))
    disks = _answer(lambda: psutil.disk_io_counters(nowrap=False))
    return _Counter(None, disks and disks.read_bytes), _Counter(None, disks and disks.write_bytes)


def _network_counters() -> tuple[_Counter, _Counter]:
    import psutil

    named = _answer(lambda: psutil.net_io_counters(pernic=True, nowrap=False))
    if not named:
        return _Counter(None, None), _Counter(None, None)
    cards = [card for name, card in named.items() if name not in _LOOPBACK]
    received = sum(card.bytes_recv for card in cards)
    return _Counter(None, received), _Counter(None, sum(card.bytes_sent for card in cards))


def _answer(ask: Callable[[], T]) -> T | None:
    """Return what psutil says, or None where it cannot tell."""
    import psutil

    try:
        return ask()
    except (psutil.Error, OSError, ValueError, LookupError, RuntimeError):
        return None


def _cgroups(root: Path) -> list[Path]:
    """Return this process's cgroup, last, after its ancestors from the top; only what is there.

    In a container that is not told where its cgroup is in the host's tree, what is mounted is
    its own cgroup: then that path is not there, or leads out of the tree, and the top is left.
    """
    top = root / "sys/fs/cgroup"
    lines = _text(root / "proc/self/cgroup").splitlines()
    own = Path(next((line[4:] for line in lines if line.startswith("0::/")), ""))
    names = () if ".." in own.parts else own.parts
    paths = [top.joinpath(*names[:depth]) for depth in range(len(names) + 1)]
    return [path for path in paths if os.access(path, os.X_OK)]


def _tightest(
    cgroups: Sequence[Path], read: Callable[[Path], float | None]
) -> tuple[Path, float] | None:
    """Return the least limit there is; of equal ones the topmost, which more processes share."""
    limits = [(cgroup, limit) for cgroup in cgroups if (limit := read(cgroup)) is not None]
    return min(limits, key=lambda pair: pair[1], default=None)


def _cpu_quota(cgroup: Path) -> float | None:
    """Return how many CPUs' time a cgroup may use."""
    quota, _, period = map(_number, _text(cgroup / "cpu.max").partition(" "))
    return quota / period if quota and period else None


def _field(path: Path, name: str) -> int | None:
    lines = (line.split() for line in _text(path).splitlines())
    return next((_number(line[1]) for line in lines if len(line) == 2 and line[0] == name), None)


def _sum(words: Sequence[str], prefix: str) -> int:
    return sum(_number(word.removeprefix(prefix)) or 0 for word in words if word.startswith(prefix))


def _number(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:  # "max" is no limit
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, ValueError):
        return ""


def _share(value: float) -> float:
    return min(1.0, max(0.0, value))
