"""What a library has to offer to be measured, and how its runs are counted.

This runs in the environment of the library, so it needs nothing but the standard library.
"""

from __future__ import annotations

import enum
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from time import perf_counter
from typing import ClassVar


class Measure(enum.StrEnum):
    """What is measured."""

    SUBMIT = "submit"
    IN_FLIGHT = "submit-50"
    BULK = "bulk"
    DRAIN = "drain"
    TOGETHER = "together"
    LATENCY = "latency"

    @property
    def more_is_better(self) -> bool:
        """Whether the figure is a rate, tasks a second; else it is a time in milliseconds."""
        return self is not Measure.LATENCY


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """One run: what is measured, with which library, where."""

    adapter: str
    """The module among the adapters."""
    variant: str
    """What the adapter is told, where one library is measured in several ways."""
    measure: str
    n: int
    concurrency: int
    folder: str
    """Empty, and the run's alone."""
    url: str
    """The server's fresh database; empty for a library that keeps a file."""


class Ledger:
    """Counts how often each task ran, from any thread."""

    def __init__(self) -> None:
        self.runs = Counter[int]()
        self.last = 0.0
        """When the task that ran last did, on `perf_counter`."""
        self._expected = 0
        self._lock = threading.Lock()
        self._all_ran = threading.Event()
        self._waiting: dict[int, Callable[[float], None]] = {}

    def ran(self, number: int) -> None:
        """Note one run of a task; what every handler does, and all it does."""
        now = perf_counter()
        with self._lock:
            self.runs[number] += 1
            self.last = now
            told = self._waiting.pop(number, None)
            if len(self.runs) >= self._expected:
                self._all_ran.set()
        if told is not None:
            told(now)

    def expect(self, tasks: int) -> None:
        """Let `all_ran` be true once so many different tasks have run since the beginning."""
        with self._lock:
            self._expected = tasks
            self._all_ran.clear()
            if len(self.runs) >= tasks:
                self._all_ran.set()

    @property
    def all_ran(self) -> bool:
        """Whether all expected tasks have run."""
        return self._all_ran.is_set()

    def tell(self, number: int, told: Callable[[float], None]) -> None:
        """Call ``told`` with the time when a task runs, in the thread where it does."""
        self._waiting[number] = told

    def find_problem(self, n: int) -> str | None:
        """What is wrong where tasks 0 to n - 1 have not each run once."""
        with self._lock:
            missed = sum(1 for number in range(n) if not self.runs[number])
            repeated = [number for number, runs in self.runs.items() if runs > 1]
            strange = [number for number in self.runs if not 0 <= number < n]
        if missed:
            return f"{missed} of {n} tasks did not run"
        if repeated:
            return f"{len(repeated)} tasks ran more than once, such as task {repeated[0]}"
        if strange:
            return f"{len(strange)} tasks ran that nobody submitted, such as task {strange[0]}"
        return None


class Adapter(ABC):
    """A library with an empty store, and one process that is its producer and its worker.

    The calls come in this order: `open`, submits, `leave`, `start`, more submits, `stop`,
    `remaining`, `close`. Between `open` and `start` nothing runs.
    """

    distribution: ClassVar[str]
    """Under which name it is installed."""
    has_bulk: ClassVar[bool] = False
    """Whether it submits many tasks in one call, so that `submit_many` may be called."""
    pause: ClassVar[float] = 0.0
    """Seconds its worker sleeps at most before it looks for tasks; 0 where it is woken."""

    def __init__(self, assignment: Assignment, ran: Callable[[int], None]) -> None:
        self.assignment = assignment
        self.ran = ran

    @property
    def version(self) -> str:
        """Which version is installed."""
        return version(self.distribution)

    @property
    def settings(self) -> str:
        """What was chosen, and what was found to hold, in a few words."""
        return ""

    @abstractmethod
    async def open(self) -> None:
        """Make the store, and be ready to submit."""

    @abstractmethod
    async def submit(self, number: int) -> None:
        """Submit one task; it is in the store on return."""

    async def submit_many(self, numbers: Sequence[int]) -> None:
        """Submit tasks in one call; they are in the store on return."""
        raise NotImplementedError

    async def leave(self) -> None:  # noqa: B027 - most have nothing that only submits
        """Close what the worker does not need; this is not timed."""

    @abstractmethod
    async def start(self) -> None:
        """Start the worker, with the slots that were asked for."""

    @abstractmethod
    async def stop(self) -> None:
        """Stop the worker; what it has done is in the store on return."""

    @abstractmethod
    async def remaining(self) -> int:
        """How many tasks the store does not have as done."""

    async def close(self) -> None:  # noqa: B027 - a store in a file needs nothing
        """Leave the store."""
