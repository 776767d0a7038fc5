"""How long runs take: the median of the last of each type that completed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from statistics import median

from taskmill.engine.clock import Clock
from taskmill.engine.runs.attempt import Attempt
from taskmill.model.record import TaskRecord
from taskmill.model.stages import Stage
from taskmill.store.base import Store

RECENT = 32
"""Of how many runs it is the median."""


class Durations:
    """A few lengths of time for each type, from what ended here and, before that, from the store.

    A handler and its ``finalize`` take their own times, so each has its own.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._ended: dict[tuple[str, Stage], deque[float]] = {}
        self._is_read: set[str] = set()

    def ended(self, record: TaskRecord, seconds: float) -> None:
        """A run has returned."""
        kind = (record.type, record.stage.part)
        lengths = self._ended.get(kind)
        if lengths is None:
            lengths = self._ended[kind] = deque(maxlen=RECENT)
        lengths.append(seconds)

    def typical(self, attempt: Attempt) -> float | None:
        """Seconds that such a run takes; what was once said of a run stays, as estimates do."""
        if attempt.typical is None:
            lengths = self._ended.get((attempt.record.type, attempt.record.stage.part))
            attempt.typical = median(lengths) if lengths else None
        return attempt.typical

    async def read(self, attempts: Iterable[Attempt]) -> None:
        """Ask the store of one type that runs and that nothing is known of, if there is one.

        The answer takes as long as the history is, so each type is asked for once, and who looks
        waits for one at the most. What the store knows of a parent includes the wait for its
        children; runs that end here take its place.
        """
        for attempt in attempts:
            # the store knows how long the last run of a task took, which is that of a finalize
            part = Stage.EXECUTE if attempt.registration.memo is None else Stage.FINALIZE
            kind = (attempt.record.type, part)
            if attempt.record.stage.part is part and not (
                kind in self._ended or kind[0] in self._is_read
            ):
                self._is_read.add(kind[0])
                with self._clock.hold():
                    ends = await self._store.ends(kind[0], recent=RECENT)
                lengths = [length / 1000 for length in reversed(ends.durations_ms)]
                if lengths:
                    lengths += self._ended.get(kind, ())
                    self._ended[kind] = deque(lengths, maxlen=RECENT)
                return
