"""What to tell about one task: puts together the record, the gates and the queue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from taskmill.engine.clock import Clock
from taskmill.engine.dispatcher import Dispatcher
from taskmill.model.explanation import Explanation, GroupPlace, Hold
from taskmill.model.record import TaskRecord
from taskmill.model.times import to_ms
from taskmill.model.wording import length, plural
from taskmill.rules.explain import (
    Scene,
    effective_priority,
    group_place,
    holds_of,
    purpose_of,
    waited_ms,
)
from taskmill.rules.limits import Lane, Limits
from taskmill.rules.stored import WAITING, story


class Explainer:
    """Knows the limits in force, what holds a slot, and who waits."""

    def __init__(self, *, limits: Limits, dispatcher: Dispatcher, clock: Clock) -> None:
        self._limits = limits
        self._dispatcher = dispatcher
        self._clock = clock

    def explain(self, record: TaskRecord, others: Sequence[TaskRecord]) -> Explanation:
        """Why a task is not running now, or what happened to it.

        ``others`` have to end before it goes on.
        """
        self._dispatcher.refresh()
        now = self._clock.now()
        if record.status not in WAITING:
            return story(record, others, now)
        lane = self._limits.lane(record.type, record.group, record.priority, int(record.stage))
        starts = self._dispatcher.starts
        scene = Scene(
            limits=self._limits,
            running=starts.values(),
            now=now,
            now_ns=self._dispatcher.now_ns(),
        )
        holds = tuple(holds_of(record, lane, scene))
        ahead = self._ahead(record)
        return Explanation(
            id=record.id,
            type=record.type,
            status=record.status,
            sentence=self._sentence(record, holds, ahead, now),
            holds=holds,
            ahead=ahead,
            effective_priority=effective_priority(record, self._limits, now),
            share=self._share(lane),
        )

    def _sentence(
        self, record: TaskRecord, holds: tuple[Hold, ...], ahead: int | None, now: datetime
    ) -> str:
        text = f"Task {record.id} ({record.type}) is {record.status}"
        if record.id in self._dispatcher.starts:
            return f"{text}: it starts now."
        if record.due_at is None or record.due_at <= now:
            text += f", ready for {length(waited_ms(record, self._limits, now) / 1000)}"
        if holds:
            text += f": {holds[0].sentence}"
        else:
            text += ": nothing holds it; it starts when its turn comes."
        if ahead:
            text += f" {plural(ahead, 'task')} of its kind {'goes' if ahead == 1 else 'go'} first."
        text += purpose_of(record)
        return text

    def _ahead(self, record: TaskRecord) -> int | None:
        """How many tasks of the same type, group and priority go first."""
        queue = self._dispatcher.queue.find(
            record.type, record.group, record.priority, int(record.stage)
        )
        if queue is None or record.priority not in queue.levels or record.due_at is not None:
            return None
        return queue.levels[record.priority].ahead_of((to_ms(record.ready_at), record.id))

    def _share(self, lane: Lane) -> GroupPlace | None:
        waiting: Counter[str | None] = Counter()
        for queue in self._dispatcher.queue.waiting():
            if queue.lane.kind.is_handled:
                waiting[queue.lane.group] += sum(level.count for level in queue.levels.values())
        return group_place(lane, self._limits, self._dispatcher.starts.values(), waiting)
