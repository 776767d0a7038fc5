"""What can be read of the tasks in the store: one of them, pages of them, counts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from anyio.lowlevel import checkpoint

from taskmill.define.task import Task
from taskmill.engine.clock import Clock
from taskmill.engine.views.filters import ended_selection, selection
from taskmill.engine.views.showing import Showing
from taskmill.model.errors import ConfigurationError, UnknownTaskError
from taskmill.model.explanation import Explanation
from taskmill.model.limits import check_id, check_tag_key, check_tag_prefix, check_text, check_whole
from taskmill.model.options import TaskFilter
from taskmill.model.page import MAX_PAGE, Cursor, Page
from taskmill.model.record import TaskId, TaskRecord
from taskmill.model.selection import Selection
from taskmill.model.showing import shown
from taskmill.model.stats import RECENT, TypeStats
from taskmill.model.status import TaskStatus
from taskmill.model.times import to_ms
from taskmill.rules.hindrance import LISTED
from taskmill.rules.quantiles import mean, quantile
from taskmill.store.base import Store

_BREATH = 500
"""How many records of one page are made ready before others get their turn in the event loop."""
_MAX_NUMBER = 2**63 - 1

_BY_ID = re.compile(r"t(\d{1,19})", re.ASCII)
_BY_END = re.compile(r"e(-?\d{1,19})\.(\d{1,19})", re.ASCII)


class Queries:
    """The reading verbs of one open scheduler; ``domain=None`` is all of them."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        showing: Showing,
    ) -> None:
        self._store = store
        self._clock = clock
        self._showing = showing

    # --- one task ---

    async def get(self, task: TaskId, *, domain: str | None) -> TaskRecord:
        """The task with this id; UnknownTaskError if there is none, or none in ``domain``."""
        check_id(task, "get takes")
        return await self.read(task, domain=domain)

    async def read(self, task: TaskId, *, domain: str | None) -> TaskRecord:
        """As `get`, for an id that was checked."""
        with self._clock.hold():
            record = await self._store.get(task)
        if record is None or domain not in (None, record.domain):
            raise unknown_task(task, domain)
        return self._showing.reported(record)

    async def explain(self, task: TaskId, *, domain: str | None) -> Explanation:
        """Why a task is not running now, or what happened to it."""
        record = await self.get(task, domain=domain)
        others: list[TaskRecord] = []
        if record.status in (TaskStatus.BLOCKED, TaskStatus.WAITING):
            with self._clock.hold():
                others = await self._store.waits_for(task, limit=LISTED)
        shown = [self._showing.reported(other) for other in others]
        return await self._showing.explain(record, shown)

    async def find(self, key: str, *, domain: str | None) -> TaskRecord | None:
        """The active task with this key: of several the newest, and a blocked one last."""
        check_text(key, "key")
        wanted = selection({"key": key}, domain=domain)
        with self._clock.hold():
            found = await self._store.tasks(wanted, limit=MAX_PAGE)
        if not found:
            return None
        best = max(found, key=lambda record: (record.status is not TaskStatus.BLOCKED, record.id))
        return self._showing.reported(best)

    async def stats(self, task_type: str) -> TypeStats:
        """How the tasks of a type have ended, and how long they took."""
        with self._clock.hold():
            ends = await self._store.ends(task_type, recent=RECENT)
        failed = ends.counts.get(TaskStatus.FAILED, 0) + ends.counts.get(TaskStatus.DEAD, 0)
        judged = failed + ends.counts.get(TaskStatus.COMPLETED, 0)
        seconds = sorted(duration / 1000 for duration in ends.durations_ms)
        return TypeStats(
            type=task_type,
            counts=ends.counts,
            failure_rate=failed / judged if judged else None,
            duration_mean=mean(seconds),
            duration_p50=quantile(seconds, 0.5),
            duration_p95=quantile(seconds, 0.95),
            io=ends.io,
        )

    # --- many tasks ---

    async def tasks(
        self, where: TaskFilter, *, domain: str | None, limit: int, after: str | None
    ) -> Page[TaskRecord]:
        """A page of tasks, by id."""
        return await self.page(selection(where, domain=domain), limit=limit, after=after)

    async def page(
        self, wanted: Selection, *, limit: int, after: str | None = None
    ) -> Page[TaskRecord]:
        """A page of the tasks that are meant, by id."""
        _check_limit(limit)
        behind = None if after is None else _place_by_id(after)
        with self._clock.hold():
            found = await self._store.tasks(wanted, limit=limit + 1, after=behind)
        return await self._page(found, limit, lambda last: f"t{last.id}")

    async def ended(
        self, where: TaskFilter, *, domain: str | None, limit: int, after: str | None
    ) -> Page[TaskRecord]:
        """A page of tasks that have ended, the last one first."""
        return await self.ended_page(
            ended_selection(where, domain=domain), limit=limit, after=after
        )

    async def ended_page(
        self, wanted: Selection, *, limit: int, after: str | None = None
    ) -> Page[TaskRecord]:
        """A page of the ended tasks that are meant, the last one first."""
        _check_limit(limit)
        before = None if after is None else _place_by_end(after)
        with self._clock.hold():
            found = await self._store.ended(wanted, limit=limit + 1, after=before)
        return await self._page(found, limit, _end_cursor)

    async def history(
        self,
        of: type[Task[Any, Any]] | None,
        where: TaskFilter,
        *,
        domain: str | None,
        limit: int,
        after: str | None,
    ) -> Page[TaskRecord]:
        """As `ended`, of one type if given."""
        if of is not None:
            if "types" in where:
                raise ConfigurationError("history takes type or types, not both")
            where = {**where, "types": [of]}
        return await self.ended(where, domain=domain, limit=limit, after=after)

    async def ids(self, where: TaskFilter, *, domain: str | None) -> list[TaskId]:
        """The ids of all tasks that the filter chooses, in order."""
        return await self.ids_of(selection(where, domain=domain))

    async def ids_of(self, wanted: Selection) -> list[TaskId]:
        """The ids of all tasks that are meant, in order."""
        with self._clock.hold():
            return await self._store.ids(wanted)

    async def count(self, where: TaskFilter, *, domain: str | None) -> int:
        """How many tasks the filter chooses."""
        return await self.count_of(selection(where, domain=domain))

    async def count_of(self, wanted: Selection) -> int:
        """How many tasks are meant."""
        with self._clock.hold():
            return await self._store.count(wanted)

    async def count_by_tag(
        self, key: str, where: TaskFilter, *, domain: str | None
    ) -> dict[str, int]:
        """How many tasks that the filter chooses have each value of a tag."""
        check_tag_key(key, "the key of a tag")
        wanted = selection(where, domain=domain)
        with self._clock.hold():
            return await self._store.count_by_tag(wanted, key)

    async def tag_keys(self, prefix: str, *, domain: str | None) -> list[str]:
        """The tag keys with this prefix that active tasks have."""
        check_tag_prefix(prefix, "prefix")
        with self._clock.hold():
            return await self._store.tag_keys(domain, prefix)

    def active_tasks(self, *, domain: str | None) -> list[TaskRecord]:
        """The tasks whose handlers run now, from memory."""
        return [record for record in self._showing.active() if domain in (None, record.domain)]

    # --- how tasks are shown ---

    async def _page(
        self, found: Sequence[TaskRecord], limit: int, cursor: Callable[[TaskRecord], str]
    ) -> Page[TaskRecord]:
        """What was found, of which one too many was asked for."""
        shown = await self._all_reported(found[:limit])
        more = Cursor(cursor(found[limit - 1])) if len(found) > limit else None
        return Page(items=shown, next=more)

    async def _all_reported(self, found: Iterable[TaskRecord]) -> tuple[TaskRecord, ...]:
        shown: list[TaskRecord] = []
        for record in found:
            shown.append(self._showing.reported(record))
            if len(shown) % _BREATH == 0:
                await checkpoint()
        return tuple(shown)


def unknown_task(task: TaskId, domain: str | None) -> UnknownTaskError:
    """What to raise where there is no such task."""
    where = "here" if domain is None else f"in domain {domain!r}"
    return UnknownTaskError(f"there is no task {task} {where}")


def _check_limit(limit: object) -> None:
    check_whole(limit, 1, MAX_PAGE, "limit")


def _end_cursor(last: TaskRecord) -> str:
    if last.finished_at is None:
        raise TypeError(f"task {last.id} was read as one that has ended, and is {last.status}")
    return f"e{to_ms(last.finished_at)}.{last.id}"


def _place_by_id(cursor: str) -> TaskId:
    [task] = _numbers(_BY_ID, cursor)
    return TaskId(task)


def _place_by_end(cursor: str) -> tuple[int, TaskId]:
    ended_ms, task = _numbers(_BY_END, cursor)
    return ended_ms, TaskId(task)


def _numbers(kind: re.Pattern[str], cursor: object) -> list[int]:
    match = kind.fullmatch(cursor) if isinstance(cursor, str) else None
    numbers = [int(text) for text in match.groups()] if match is not None else []
    if not numbers or max(map(abs, numbers)) > _MAX_NUMBER:
        raise ConfigurationError(
            f"after takes the cursor of a page of this kind, page.next, not {shown(cursor)}"
        )
    return numbers
