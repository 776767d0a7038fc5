"""What is counted while the demo runs, for people who watch; the answer does not depend on it."""

from __future__ import annotations

import enum
import threading
from typing import TYPE_CHECKING, final

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping


class Stage(enum.Enum):
    """The three stages, in order; each is a domain."""

    SCAN = "scan"
    DIGEST = "digest"
    REPORT = "report"


@attrs.frozen(kw_only=True)
class Bar:
    """How far a stage is, in tasks. ``known`` still grows while directories are being found."""

    done: int = 0
    known: int = 0


@attrs.frozen(kw_only=True)
class Figures:
    """The counts at one moment."""

    stage: Stage
    bars: Mapping[Stage, Bar]
    files: int
    bytes_seen: int
    """Sizes of all files listed."""
    bytes_read: int
    bytes_wanted: int
    """What ``bytes_read`` will be when all known digests are done; 0 until they are known."""
    errors: int
    inherited: int
    """Tasks that an earlier run had left in the queue."""
    reading: str | None
    """The large file reported last and how far it is."""

    @property
    def is_listed(self) -> bool:
        """Whether all directories that are known are listed."""
        scan = self.bars[Stage.SCAN]
        return 0 < scan.known == scan.done

    @property
    def tasks(self) -> int:
        """Tasks that ended."""
        return sum(bar.done for bar in self.bars.values())


@final
class Tally:
    """Counters that handlers add to from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._done = dict.fromkeys(Stage, 0)
        self._known = dict.fromkeys(Stage, 0)
        self._stage = Stage.SCAN
        self._files = self._bytes_seen = self._bytes_read = self._bytes_wanted = self._errors = 0
        self._inherited = 0
        self._reading: str | None = None

    def enter(self, stage: Stage) -> None:
        """Say which stage runs now."""
        with self._lock:
            self._stage = stage
            self._reading = None
            if stage is Stage.DIGEST:
                self._bytes_wanted = self._bytes_read

    def expect(self, stage: Stage, tasks: int, size: int = 0) -> None:
        """Count tasks that were submitted, and the bytes they will read."""
        with self._lock:
            self._known[stage] += tasks
            self._bytes_wanted += size

    def inherit(self, stage: Stage, tasks: int) -> None:
        """Count tasks that an earlier run had left in the queue."""
        with self._lock:
            self._known[stage] += tasks
            self._inherited += tasks

    def ended(self, stage: Stage) -> None:
        """Count a task that did its work."""
        with self._lock:
            self._done[stage] += 1

    def saw(self, files: int, size: int) -> None:
        """Count files that were listed."""
        with self._lock:
            self._files += files
            self._bytes_seen += size

    def read(self, size: int) -> None:
        """Count bytes that were read."""
        with self._lock:
            self._bytes_read += size

    def failed(self, problems: int) -> None:
        """Count files and directories that could not be read."""
        with self._lock:
            self._errors += problems

    def reading(self, text: str | None) -> None:
        """Say how far a large file is; None when it is done."""
        with self._lock:
            self._reading = text

    def figures(self) -> Figures:
        """The counts now, all of the same moment."""
        with self._lock:
            return Figures(
                stage=self._stage,
                bars={stage: self._bar(stage) for stage in Stage},
                files=self._files,
                bytes_seen=self._bytes_seen,
                bytes_read=self._bytes_read,
                bytes_wanted=self._bytes_wanted,
                errors=self._errors,
                inherited=self._inherited,
                reading=self._reading,
            )

    def _bar(self, stage: Stage) -> Bar:
        done = self._done[stage]
        # Tasks left by an earlier run may end before they were counted.
        return Bar(done=done, known=max(done, self._known[stage]))
