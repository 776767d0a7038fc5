"""What the machine, or the container, says about how busy it is."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from taskmill.model.errors import ConfigurationError
from taskmill.model.resources import Resources, ResourceSample
from taskmill.system import SystemResources
from taskmill.testing import FakeClock

AT_TOP: Mapping[str, str] = {
    "memory.max": "1000\n",
    "memory.current": "700\n",
    "memory.stat": "anon 300\ninactive_file 200\nactive_file 200\n",
    "cpu.max": "50000 100000\n",
    "cpu.stat": "usage_usec 1000000\nuser_usec 900000\nsystem_usec 100000\n",
    "io.stat": "8:0 rbytes=1000 wbytes=2000 rios=1 wios=2\n8:16 rbytes=100 wbytes=0 rios=1\n",
}


class Machine:
    """A root directory with one process in a cgroup, and a clock."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = FakeClock()

    def is_in(self, cgroup: str) -> None:
        path = self.root / "proc/self/cgroup"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"0::{cgroup}\n")

    def has(self, cgroup: str, files: Mapping[str, str]) -> None:
        directory = self.path(cgroup)
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (directory / name).write_text(text)

    def path(self, cgroup: str) -> Path:
        return self.root / "sys/fs/cgroup" / cgroup.strip("/")

    def burns(self, seconds: float, cgroup: str = "/") -> None:
        """Let the cgroup use this much CPU time."""
        path = self.path(cgroup) / "cpu.stat"
        used = int(path.read_text().split()[1])
        path.write_text(f"usage_usec {used + round(seconds * 1e6)}\n")

    def moves(self, read: int, written: int, cgroup: str = "/") -> None:
        """Set what the cgroup has read and written since it was made."""
        (self.path(cgroup) / "io.stat").write_text(f"8:0 rbytes={read} wbytes={written} rios=9\n")

    def resources(self) -> SystemResources:
        return SystemResources(root=self.root, monotonic=self.clock.monotonic)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def container(machine: Machine) -> Machine:
    """A machine as a container shows it: what is mounted at the top is its own cgroup."""
    machine.is_in("/")
    machine.has("/", AT_TOP)
    return machine


def sample_after(machine: Machine, resources: SystemResources, seconds: float) -> ResourceSample:
    machine.clock.pass_seconds(seconds)
    return resources.sample()


class Counts:
    """What psutil is to count; each field can be set, or raise."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.busy = [100.0, 100.0]
        self.disks: Any = SimpleNamespace(read_bytes=10_000, write_bytes=20_000)
        self.cards: Any = {
            "lo": SimpleNamespace(bytes_recv=5, bytes_sent=5),
            "eth0": SimpleNamespace(bytes_recv=100, bytes_sent=200),
            "eth1": SimpleNamespace(bytes_recv=1, bytes_sent=2),
        }
        self.memory: Any = SimpleNamespace(total=16_000, available=4_000)
        self.affinity = {0, 1}
        monkeypatch.setattr(psutil, "cpu_times", self._cpu_times)
        monkeypatch.setattr(psutil, "disk_io_counters", self._disk_io_counters)
        monkeypatch.setattr(psutil, "net_io_counters", self._net_io_counters)
        monkeypatch.setattr(psutil, "virtual_memory", lambda: _told(self.memory))
        monkeypatch.setattr(os, "cpu_count", lambda: len(self.busy))
        if sys.platform == "linux":
            monkeypatch.setattr(os, "sched_getaffinity", self._sched_getaffinity)

    def _sched_getaffinity(self, process: int) -> set[int]:
        assert process == 0
        return self.affinity

    def _disk_io_counters(self, *, nowrap: bool) -> Any:
        assert not nowrap
        return _told(self.disks)

    def _net_io_counters(self, *, pernic: bool, nowrap: bool) -> Any:
        assert pernic
        assert not nowrap
        return _told(self.cards)

    def _cpu_times(self, *, percpu: bool = False) -> Any:
        # Idle time and a guest's time, which user has in it already, are not to be counted.
        each = [SimpleNamespace(user=x, idle=7e6 - x, iowait=3.0, guest=x / 2) for x in self.busy]
        return each if percpu else SimpleNamespace(user=sum(self.busy), idle=9e6)


def _told(answer: Any) -> Any:
    if isinstance(answer, Exception):
        raise answer
    return answer


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counts:
    return Counts(monkeypatch)


# A container


def test_memory_in_use_leaves_out_files_that_can_be_dropped(container: Machine) -> None:
    assert container.resources().sample().memory == 0.5


def test_memory_in_use_is_a_share_even_where_the_numbers_do_not_add_up(container: Machine) -> None:
    resources = container.resources()
    container.has("/", {"memory.current": "5000"})
    assert sample_after(container, resources, 1).memory == 1
    container.has("/", {"memory.current": "10"})
    assert sample_after(container, resources, 1).memory == 0
    container.has("/", {"memory.max": "0"})
    assert sample_after(container, resources, 1).memory == 1


def test_cpu_in_use_is_a_share_of_the_quota(container: Machine) -> None:
    resources = container.resources()
    assert resources.sample().cpu is None
    container.burns(0.4)
    assert sample_after(container, resources, 2).cpu == pytest.approx(0.4)  # half a CPU, 2 seconds


def test_cpu_in_use_is_never_more_than_all_of_it(container: Machine) -> None:
    resources = container.resources()
    resources.sample()
    container.burns(10)
    assert sample_after(container, resources, 1).cpu == 1


def test_disk_rates_are_those_of_all_devices_of_the_cgroup(container: Machine) -> None:
    resources = container.resources()
    first = resources.sample()
    assert (first.read, first.written) == (None, None)
    container.has("/", {"io.stat": "8:0 rbytes=1500 wbytes=2000\n8:16 rbytes=600 wbytes=8000\n"})
    second = sample_after(container, resources, 2)
    assert (second.read, second.written) == (500, 4000)


def test_a_container_reads_the_network_of_the_machine(container: Machine, counts: Counts) -> None:
    resources = container.resources()
    resources.sample()
    counts.cards["eth0"] = SimpleNamespace(bytes_recv=1100, bytes_sent=700)
    counts.cards["lo"] = SimpleNamespace(bytes_recv=9e9, bytes_sent=9e9)
    sample = sample_after(container, resources, 0.5)
    assert (sample.received, sample.sent) == (2000, 1000)


@pytest.mark.parametrize("cgroup", ["/docker/0123abcd", "/../../elsewhere"])
def test_a_path_from_the_hosts_tree_means_what_is_mounted(container: Machine, cgroup: str) -> None:
    container.has("../../elsewhere", {**AT_TOP, "memory.max": "600"})
    container.is_in(cgroup)
    resources = container.resources()
    assert resources.sample().memory == 0.5
    container.moves(1170, 2000)
    assert sample_after(container, resources, 1).read == 70


# Limits at several levels


def test_an_own_limit_counts_where_it_is_the_tightest(machine: Machine) -> None:
    machine.is_in("/system.slice/mill.service")
    machine.has("/", {"cpu.stat": "usage_usec 0"})
    machine.has("/system.slice", {**AT_TOP, "memory.max": "2000", "cpu.max": "80000 100000"})
    own = {**AT_TOP, "memory.current": "300", "memory.stat": "inactive_file 50"}
    machine.has("/system.slice/mill.service", own)
    resources = machine.resources()
    assert resources.sample().memory == 0.25
    machine.burns(0.1, "/system.slice/mill.service")
    machine.burns(0.3, "/system.slice")
    assert sample_after(machine, resources, 1).cpu == pytest.approx(0.2)


def test_a_tighter_limit_of_an_ancestor_counts_with_all_that_it_holds(machine: Machine) -> None:
    machine.is_in("/pod/box/worker")
    machine.has("/pod", {**AT_TOP, "memory.max": "800", "cpu.max": "20000 100000"})
    machine.has("/pod/box", {**AT_TOP, "memory.max": "max", "cpu.max": "max 100000"})
    machine.has("/pod/box/worker", {**AT_TOP, "memory.current": "250", "memory.max": "900"})
    resources = machine.resources()
    assert resources.sample().memory == 500 / 800
    machine.burns(0.1, "/pod")
    assert sample_after(machine, resources, 1).cpu == pytest.approx(0.5)


def test_of_two_equal_limits_the_one_of_more_processes_counts(machine: Machine) -> None:
    machine.is_in("/pod/box")
    machine.has("/pod", AT_TOP)
    machine.has("/pod/box", {**AT_TOP, "memory.current": "250"})
    assert machine.resources().sample().memory == 0.5


def test_disk_rates_are_those_of_the_own_cgroup(machine: Machine) -> None:
    machine.is_in("/pod/box")
    machine.has("/pod", AT_TOP)
    machine.has("/pod/box", AT_TOP)
    resources = machine.resources()
    resources.sample()
    machine.moves(10**9, 10**9, "/pod")
    machine.moves(1200, 2000, "/pod/box")
    sample = sample_after(machine, resources, 1)
    assert (sample.read, sample.written) == (100, 0)


@pytest.mark.parametrize(
    ("memory_max", "cpu_max"),
    [("max", "max 100000"), (str(2**60), "99999999 1000"), ("", "x y z"), ("?", "5 0")],
)
def test_without_a_tighter_limit_the_machine_counts(
    container: Machine, counts: Counts, memory_max: str, cpu_max: str
) -> None:
    container.has("/", {"memory.max": memory_max, "cpu.max": cpu_max})
    resources = container.resources()
    assert resources.sample().memory == 0.75
    counts.busy = [100.5, 101.0]
    assert sample_after(container, resources, 1).cpu == pytest.approx(0.75)


def test_a_limit_that_changes_counts_from_the_next_sample(container: Machine) -> None:
    resources = container.resources()
    resources.sample()
    container.burns(0.1)
    assert sample_after(container, resources, 1).cpu == pytest.approx(0.2)
    container.has("/", {"memory.max": "2000", "cpu.max": "25000 100000"})
    changed = sample_after(container, resources, 1)
    assert changed.memory == 0.25
    assert changed.cpu is None  # what was counted so far was a share of something else
    container.burns(0.125)
    assert sample_after(container, resources, 1).cpu == pytest.approx(0.5)


# Machines without cgroups


@pytest.mark.parametrize("cgroup", [None, "4:memory:/docker/0123\n1:cpu:/docker/0123\n", "0::/\n"])
def test_without_cgroups_of_version_2_the_machine_counts(
    machine: Machine, counts: Counts, cgroup: str | None
) -> None:
    if cgroup is not None:
        machine.is_in("/")
        (machine.root / "proc/self/cgroup").write_text(cgroup)
        machine.has("/memory", {"memory.limit_in_bytes": "10"})
    resources = machine.resources()
    first = resources.sample()
    assert first == ResourceSample(
        cpu=None, memory=0.75, read=None, written=None, received=None, sent=None
    )
    counts.busy = [100.0, 101.0]
    counts.disks = SimpleNamespace(read_bytes=10_400, write_bytes=20_000)
    counts.cards["eth1"] = SimpleNamespace(bytes_recv=1, bytes_sent=602)
    assert sample_after(machine, resources, 2) == ResourceSample(
        cpu=0.25, memory=0.75, read=200, written=0, received=0, sent=300
    )


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says which CPUs are usable")
def test_only_the_cpus_a_process_may_use_count(machine: Machine, counts: Counts) -> None:
    counts.affinity = {1}
    resources = machine.resources()
    resources.sample()
    counts.busy = [101.0, 100.25]
    assert sample_after(machine, resources, 1).cpu == pytest.approx(0.25)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says which CPUs are usable")
def test_cpus_counted_from_0_in_a_container_are_all_its_own(
    machine: Machine, counts: Counts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    counts.affinity = {40, 41}
    resources = machine.resources()
    resources.sample()
    counts.busy = [101.0, 100.5]
    assert sample_after(machine, resources, 1).cpu == pytest.approx(0.75)


# Samples that follow each other


def test_rates_are_moving_averages_and_the_first_is_taken_as_it_is(container: Machine) -> None:
    resources = container.resources()
    resources.sample()
    container.moves(2100, 2000)
    assert sample_after(container, resources, 1).read == 1000
    container.moves(4100, 2000)
    assert sample_after(container, resources, 1).read == pytest.approx(0.7 * 1000 + 0.3 * 2000)
    assert sample_after(container, resources, 1).read == pytest.approx(0.7 * 1300)


def test_samples_within_50_ms_are_the_same_sample(container: Machine) -> None:
    resources = container.resources()
    resources.sample()
    container.moves(2100, 2000)
    sample = sample_after(container, resources, 1)
    container.moves(9_000_000, 2000)
    assert sample_after(container, resources, 0.02) is sample
    assert sample_after(container, resources, 0.02) is sample
    assert sample_after(container, resources, 0.02) is not sample


def test_a_counter_that_goes_back_says_nothing_once(container: Machine) -> None:
    resources = container.resources()
    resources.sample()
    container.moves(3100, 4000)
    before = sample_after(container, resources, 1)
    container.moves(50, 4000)
    wrapped = sample_after(container, resources, 1)
    assert wrapped.read is None
    assert wrapped.written == pytest.approx(0.7 * 2000)
    container.moves(2050, 4000)
    assert sample_after(container, resources, 1).read == before.read == 2000


def test_a_disk_or_network_card_that_is_gone_makes_no_negative_rate(
    machine: Machine, counts: Counts
) -> None:
    resources = machine.resources()
    resources.sample()
    counts.disks = SimpleNamespace(read_bytes=10, write_bytes=20)
    del counts.cards["eth0"]
    counts.busy = [1.0, 1.0]
    gone = sample_after(machine, resources, 1)
    assert gone == ResourceSample(
        cpu=None, memory=0.75, read=None, written=None, received=None, sent=None
    )
    assert sample_after(machine, resources, 1) == ResourceSample(
        cpu=0, memory=0.75, read=0, written=0, received=0, sent=0
    )


def test_a_rate_after_a_gap_is_that_of_the_whole_gap(container: Machine) -> None:
    resources = container.resources()
    resources.sample()
    container.has("/", {"cpu.stat": "no such line\n"})
    assert sample_after(container, resources, 1).cpu is None
    container.has("/", {"cpu.stat": "usage_usec 1400000\n"})
    assert sample_after(container, resources, 3).cpu == pytest.approx(0.4 / 4 / 0.5)


def test_disks_start_anew_when_the_cgroup_begins_to_count_them(
    container: Machine, counts: Counts
) -> None:
    container.has("/", {"io.stat": ""})
    resources = container.resources()
    resources.sample()
    assert sample_after(container, resources, 1).read == 0
    container.moves(10**9, 0)
    assert sample_after(container, resources, 1).read is None
    container.moves(10**9 + 70, 0)
    assert sample_after(container, resources, 1).read == 70


# What cannot be read


@pytest.mark.parametrize(
    ("file", "unknown"),
    [
        ("memory.current", {"memory"}),
        ("memory.stat", {"memory"}),
        ("cpu.stat", {"cpu"}),
    ],
)
@pytest.mark.parametrize("content", [None, b"", b"nonsense\n", b"\xff\xfe \x00\n"])
def test_a_file_that_cannot_be_read_leaves_its_value_unknown(
    container: Machine, counts: Counts, file: str, unknown: set[str], content: bytes | None
) -> None:
    resources = container.resources()
    resources.sample()
    path = container.path("/") / file
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    sample = sample_after(container, resources, 1)
    axes = ("cpu", "memory", "read", "written", "received", "sent")
    assert {axis for axis in axes if getattr(sample, axis) is None} == unknown


def test_a_cgroup_that_is_gone_raises_nothing(container: Machine, counts: Counts) -> None:
    resources = container.resources()
    resources.sample()
    container.path("/").rename(container.root / "gone")
    assert sample_after(container, resources, 1).memory == 0.75


@pytest.mark.parametrize(
    "error", [OSError(), NotImplementedError(), ValueError(), IndexError(), psutil.AccessDenied()]
)
def test_what_psutil_cannot_tell_is_unknown(
    machine: Machine, counts: Counts, error: Exception
) -> None:
    counts.disks = counts.cards = counts.memory = error
    resources = machine.resources()
    resources.sample()
    sample = sample_after(machine, resources, 1)
    assert sample == ResourceSample(
        cpu=0, memory=None, read=None, written=None, received=None, sent=None
    )


def test_a_machine_without_disks_and_networks_has_no_rates(
    machine: Machine, counts: Counts
) -> None:
    counts.disks, counts.cards = None, {}
    resources = machine.resources()
    resources.sample()
    sample = sample_after(machine, resources, 1)
    assert (sample.read, sample.written, sample.received, sample.sent) == (None,) * 4


def test_without_psutil_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'taskmill\[system\]'"):
        SystemResources()


# This machine


def test_this_machine_says_how_busy_it_is() -> None:
    stop = threading.Event()

    def burn() -> None:
        while not stop.is_set():
            sum(range(1000))

    resources: Resources = SystemResources()
    first = resources.sample()
    assert first.memory is not None
    assert 0 < first.memory < 1
    thread = threading.Thread(target=burn)
    thread.start()
    try:
        sample = _first(resources, until=lambda sample: bool(sample.cpu))
    finally:
        stop.set()
        thread.join()
    assert sample.cpu is not None
    assert 0 < sample.cpu <= 1
    for rate in (sample.read, sample.written, sample.received, sample.sent):
        assert rate is None or rate >= 0


def _first(resources: Resources, until: Callable[[ResourceSample], bool]) -> ResourceSample:
    """The first sample within a minute that is as wanted, or the last."""
    sample = resources.sample()
    for _ in range(600):
        if until(sample):
            break
        time.sleep(0.1)
        sample = resources.sample()
    return sample
