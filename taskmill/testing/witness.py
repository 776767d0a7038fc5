"""What can be seen of an explored scheduler from outside, and whether its promises hold.

It goes by what the database commits, what handlers meet, what events say and what calls return;
it asks the scheduler nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Any, cast

import attrs

from taskmill.executors.base import Success
from taskmill.model.changes import Change, Settlement
from taskmill.model.events import (
    About,
    Cancelled,
    Completed,
    DeadLettered,
    DependencyFailed,
    Dispatched,
    Enqueued,
    Expired,
    Failed,
    Lagged,
    Revived,
    Superseded,
    Waiting,
)
from taskmill.model.record import TaskRecord
from taskmill.model.sharing import RateLimit
from taskmill.model.stages import Stage
from taskmill.model.status import TaskStatus
from taskmill.store.sqlite.inline import Commit, Move, Row

S = TaskStatus

ENDS = frozenset(
    {S.COMPLETED, S.FAILED, S.DEAD, S.CANCELLED, S.SUPERSEDED, S.EXPIRED, S.DEPENDENCY_FAILED}
)

LEGAL: dict[str | None, frozenset[str]] = {
    None: frozenset({S.PENDING, S.BLOCKED, S.DEPENDENCY_FAILED}),
    S.PENDING: frozenset({S.RUNNING, S.CANCELLED, S.SUPERSEDED, S.EXPIRED, S.FAILED}),
    S.BLOCKED: frozenset({S.PENDING, S.CANCELLED, S.SUPERSEDED, S.EXPIRED, S.DEPENDENCY_FAILED}),
    S.RUNNING: frozenset(
        {S.PENDING, S.WAITING, S.COMPLETED, S.FAILED, S.DEAD, S.CANCELLED, S.SUPERSEDED}
    ),
    S.WAITING: frozenset({S.PENDING, S.COMPLETED, S.FAILED, S.CANCELLED, S.SUPERSEDED}),
}
"""The moves of a task's life, as docs/lifecycle.md has them; an end is left by a retry alone."""

REVIVABLE = frozenset({S.FAILED, S.DEAD, S.CANCELLED, S.DEPENDENCY_FAILED})

_SAYS: dict[type[About[Any]], str] = {
    Completed: S.COMPLETED,
    DeadLettered: S.DEAD,
    Cancelled: S.CANCELLED,
    Superseded: S.SUPERSEDED,
    Expired: S.EXPIRED,
    DependencyFailed: S.DEPENDENCY_FAILED,
    Waiting: S.WAITING,
}
"""Which state an event says that a task has come to."""

EPSILON = 1e-6


class Broken(AssertionError):
    """A promise does not hold. ``promise`` is its short name, such as ``"S3"``."""

    def __init__(self, promise: str, what: str) -> None:
        super().__init__(f"{promise}: {what}")
        self.promise = promise


@attrs.define
class Bounds:
    """The limits a scheduler is explored with, so that it can be checked that they hold.

    None, and what is missing, is not checked. Operations that change a limit at run time change
    it here too.
    """

    max_concurrency: int | None = None
    domains: dict[str, int | None] = attrs.field(factory=dict[str, int | None])
    groups: dict[str, int | None] = attrs.field(factory=dict[str, int | None])
    rates: dict[str, RateLimit | None] = attrs.field(factory=dict[str, RateLimit | None])
    """By the stored names of task types."""

    def copy(self) -> Bounds:
        """One that is changed on its own."""
        return Bounds(
            max_concurrency=self.max_concurrency,
            domains=dict(self.domains),
            groups=dict(self.groups),
            rates=dict(self.rates),
        )


@attrs.define
class _Handling:
    """A handler that was called and has not returned."""

    run: int
    fence: int
    part: Stage


class Witness:
    """Sees, remembers and compares. ``report`` gets what does not hold."""

    def __init__(
        self,
        bounds: Bounds,
        *,
        now: Callable[[], float],
        wall_ms: Callable[[], int],
        is_in_transaction: Callable[[], bool],
        report: Callable[[Broken], None],
        tell: Callable[[str], None],
    ) -> None:
        self.bounds = bounds
        self._first = bounds.copy()
        self._now, self._wall_ms = now, wall_ms
        self._is_in_transaction = is_in_transaction
        self._report, self._tell = report, tell
        self.rows: dict[int, Row] = {}
        self.pauses: frozenset[tuple[str, str]] = frozenset()
        self.is_open = False
        self.revivals = 0
        """How many calls of retry are under way."""
        self.last_trouble = -1e9
        self.last_jump = -1e9
        self._accepted: set[int] = set()
        self._revived_at: dict[int, int] = {}
        self._cancelled: set[int] = set()
        self._needs: dict[int, tuple[int, ...]] = {}
        self._ran_anyway: set[int] = set()
        self._handling: dict[int, _Handling] = {}
        self._fences: dict[int, int] = {}
        self._returned: set[tuple[int, int]] = set()
        self._claimed: set[int] = set()
        self._occurrences: set[tuple[str, str, int]] = set()
        self._starts: dict[str, list[float]] = defaultdict(list)
        self._cut_at = 0.0
        self._cut_with = bounds.copy()
        self._happened: Counter[tuple[int, str]] = Counter()
        self._heard: Counter[tuple[int, str]] = Counter()
        self._unheard: Counter[tuple[int, str]] = Counter()
        self._happened_to: set[int] = set()
        self._rated_at: dict[str, float] = {}
        self._runs_heard: dict[int, int] = {}
        self._over: set[int] = set()
        self._since: dict[tuple[str, int], float] = {}
        self.changes = 0
        """How many changes of rows were committed."""
        self.late: list[Settlement] = []
        """What was being settled when a process died."""
        self._in_flight: list[Settlement] = []

    def broken(self, promise: str, what: str) -> None:
        """A promise does not hold."""
        self._report(Broken(promise, what))

    # --- processes ---

    def opened(self) -> None:
        """A process has opened the store and dispatches."""
        self.is_open = True
        left = sorted(
            row.id
            for row in self.rows.values()
            if row.status == S.RUNNING and row.id not in self._claimed
        )
        if left:
            self.broken("L2", f"tasks {left} are still running for a process that is gone")
        for task in sorted(self._accepted):
            if task not in self.rows:
                self.broken("S1", f"task {task} was accepted, and is gone after a restart")

    def subscribed(self) -> None:
        """Events are heard from now on."""
        self._unheard = Counter()
        self._runs_heard.clear()
        self._over.clear()

    def died(self) -> None:
        """The process is gone, with all that it had not committed."""
        self.late += self._in_flight
        self._process_ended()

    def stopped(self, *, is_whole: bool) -> None:
        """The scheduler has closed; ``is_whole`` unless the disk was in trouble."""
        if self._handling:
            self.broken("L5", f"it closed while tasks {sorted(self._handling)} were being handled")
        left = sorted(row.id for row in self.rows.values() if row.status == S.RUNNING)
        if is_whole and left:
            self.broken("L5", f"it closed, and tasks {left} are still running")
        if is_whole:
            for (task, status), count in sorted(self._unheard.items()):
                if status in ENDS and count > 0:
                    self.broken("S10", f"task {task} was {status}, and no event says so")
        self._process_ended()

    def _process_ended(self) -> None:
        self.is_open = False
        self.bounds = self._first.copy()
        self._handling.clear()
        self._claimed.clear()
        self._starts.clear()
        self._in_flight = []
        self._since.clear()
        self.revivals = 0

    def troubled(self) -> None:
        """The store is in trouble, or was until now."""
        self.last_trouble = self._now()

    def jumped(self) -> None:
        """The wall clock was set."""
        self.last_jump = self._now()

    def freed(self, bounds: Bounds) -> None:
        """The caps of the scheduler and of its domains are again what they were at first."""
        self.bounds.max_concurrency = bounds.max_concurrency
        self.bounds.domains = dict(bounds.domains)
        self._since.clear()

    # --- calls ---

    @contextmanager
    def reviving(self, task: int | None = None) -> Generator[None]:
        """A retry is under way: meanwhile ends may be left, and what is held may run anyway."""
        self.revivals += 1
        if task is not None:
            self._ran_anyway.add(task)
        try:
            yield
        finally:
            self.revivals -= 1

    def accepted(self, task: int, depends_on: Sequence[int], *, is_new: bool) -> None:
        """A submit has returned this id."""
        if task not in self._happened_to:
            self.broken("S1", f"task {task} was accepted before it was committed")
        self._accepted.add(task)
        if is_new:
            self._needs[task] = tuple(depends_on)

    def cancelled(self, task: int, since: int) -> None:
        """A cancel has returned True that was asked for after so many `changes`."""
        if self._revived_at.get(task, -1) >= since:
            return  # a retry came right behind it
        row = self.rows.get(task)
        if row is not None and row.status not in ENDS and row.stop_cause is None:
            self.broken("C3", f"task {task} is {row.status} after its cancel returned True")
        self._cancelled.add(task)

    def rescheduled(self, domain: str, name: str) -> None:
        """A schedule was set anew: its times may come again."""
        self._occurrences = {o for o in self._occurrences if o[:2] != (domain, name)}

    def rated(self, task_type: str, limit: RateLimit | None) -> None:
        """A type has another rate from now on."""
        self.bounds.rates[task_type] = limit
        self._starts.pop(task_type, None)
        self._rated_at[task_type] = self._now()

    # --- commits ---

    def applying(self, changes: Sequence[Change]) -> None:
        """A batch was cut: what it claims was decided now."""
        self._cut_at = self._now()
        self._cut_with = self.bounds.copy()
        self._in_flight = [change for change in changes if isinstance(change, Settlement)]

    def committed(self, commit: Commit) -> None:
        """A transaction has committed."""
        was_paused, self.pauses = self.pauses, commit.pauses
        self.changes += len(commit.moves)
        for move in commit.moves:
            if move.now is None:
                self.rows.pop(move.id, None)
        for row in commit.rows:
            self.rows[row.id] = row
        claims: list[Row] = []
        for move in commit.moves:
            self._moved(move)
            if move.was == S.PENDING and move.now == S.RUNNING and move.id in self.rows:
                claims.append(self.rows[move.id])
        if commit.moves:
            self._check_identities(commit.rows)
            self._check_families(commit)
        if claims:
            self._check_claims(claims, was_paused, dict_of(commit.ties))

    def _moved(self, move: Move) -> None:
        task, was, now = move.id, move.was, move.now
        if was != now:
            self._tell(f"task {task} {was or 'new'} -> {now or 'deleted'} (run {move.run or 0})")
            self._happened_to.add(task)
            self._happened[task, str(now)] += 1
            self._unheard[task, str(now)] += 1
        if now is None:
            if was not in ENDS:
                self.broken("S1", f"task {task} was {was} and its row is deleted")
            self._accepted.discard(task)
            return
        self._check_legal(move, now)
        if was == S.BLOCKED and now == S.PENDING and self.revivals:
            self._ran_anyway.add(task)
        if was == S.PENDING and now == S.RUNNING:
            self._claimed.add(task)
        if now == S.COMPLETED and was != now:
            self._check_completed(task, was, move)
        row = self.rows.get(task)
        if was is None and row is not None and row.schedule is not None:
            self._check_occurrence(row)

    def _check_legal(self, move: Move, now: str) -> None:
        task, was = move.id, move.was
        if was in ENDS and now != was:
            if was not in REVIVABLE or now not in (S.PENDING, S.BLOCKED) or not self.revivals:
                self.broken("S2", f"task {task} had ended as {was} and is {now}")
            self._cancelled.discard(task)
            self._ran_anyway.add(task)
            self._revived_at[task] = self.changes
        elif was != now and now not in LEGAL[was]:
            self.broken("S2", f"task {task} went from {was} to {now}")
        if move.run_was is not None and move.run is not None:
            expected = move.run_was + (was == S.PENDING and now == S.RUNNING)
            if move.run != expected:
                self.broken("S4", f"task {task}: run {move.run_was} became {move.run}")

    def _check_completed(self, task: int, was: str | None, move: Move) -> None:
        if task in self._cancelled:
            self.broken("C3", f"task {task} was cancelled and has completed")
        run = move.run or 0
        if was == S.RUNNING and (task, run) not in self._returned:
            self.broken("S4", f"task {task} completed by run {run}, which has not returned")
        active = [row.id for row in self._children(task) if row.status not in ENDS]
        if active:
            self.broken("C1", f"task {task} completed before its children {active}")

    def _check_occurrence(self, row: Row) -> None:
        at = (row.domain, row.schedule or "", row.scheduled_for_ms or 0)
        if at in self._occurrences:
            self.broken("S9", f"schedule {row.schedule} has two tasks for {row.scheduled_for_ms}")
        self._occurrences.add(at)

    def _children(self, task: int) -> list[Row]:
        return [row for row in self.rows.values() if row.parent == task]

    def _check_identities(self, touched: Iterable[Row]) -> None:
        identities = {row.identity for row in touched}
        standing: Counter[tuple[bytes, int]] = Counter(
            (row.identity, row.is_follow_up)
            for row in self.rows.values()
            if row.identity in identities and row.status not in ENDS
        )
        for (identity, _), count in standing.items():
            if count > 1:
                same = [row.id for row in self.rows.values() if row.identity == identity]
                self.broken("S7", f"tasks {same} stand for the same work")

    def _check_families(self, commit: Commit) -> None:
        """What ends in any way but COMPLETED takes its subtree along, in the same transaction."""
        ended = {row.id for row in commit.rows if row.status in ENDS and row.status != S.COMPLETED}
        for row in self.rows.values():
            if row.parent in ended and row.status not in ENDS and row.stop_cause is None:
                end = self.rows[row.parent].status
                self.broken("C2", f"task {row.parent} is {end} and its child {row.id} goes on")

    def _check_claims(
        self,
        claims: Sequence[Row],
        was_paused: frozenset[tuple[str, str]],
        ties: dict[int, list[int]],
    ) -> None:
        running = [row for row in self.rows.values() if row.status == S.RUNNING]
        caps = (self._cut_with, self.bounds)
        self._hold_cap("all", len(running), [each.max_concurrency for each in caps])
        for name in sorted({row.domain for row in claims}):
            count = sum(row.domain == name for row in running)
            self._hold_cap(f"domain {name}", count, [each.domains.get(name) for each in caps])
        for group in sorted({row.group for row in claims if row.group is not None}):
            count = sum(row.group == group for row in running)
            self._hold_cap(f"group {group}", count, [each.groups.get(group) for each in caps])
        for row in claims:
            if _is_held(row, was_paused) and _is_held(row, self.pauses):
                self.broken("P1", f"task {row.id} was started under a pause")
            if Stage(row.stage).part is Stage.EXECUTE:
                self._check_rate(row)
                self._check_needs(row, ties.get(row.id, []))
            if Stage(row.stage).is_alone and len(running) > 1:
                self.broken("P2", f"suspect {row.id} does not run alone")

    def _hold_cap(self, of: str, running: int, caps: Sequence[int | None]) -> None:
        if all(cap is not None and running > cap for cap in caps):
            self.broken("S5", f"{running} tasks of {of} run, and its cap is {caps[-1]}")

    def _check_rate(self, row: Row) -> None:
        limit = self.bounds.rates.get(row.type)
        if limit is None or self._cut_at < self._rated_at.get(row.type, 0.0):
            return
        starts = self._starts[row.type]
        starts.append(self._cut_at)
        per_second = limit.permits / limit.per.total_seconds()
        burst = limit.burst
        for index, since in enumerate(starts):
            count = len(starts) - index
            if count > burst + per_second * (self._cut_at - since) + EPSILON:
                self.broken(
                    "S6", f"{count} tasks of {row.type} started in {self._cut_at - since:.3f} s"
                )
                return

    def _check_needs(self, row: Row, ties: Iterable[int]) -> None:
        if row.id in self._ran_anyway:
            return
        if row.on_dependency_failure == "ignore":
            known = [on for on in ties if on in self.rows and on not in self._ran_anyway]
            active = [on for on in known if self.rows[on].status not in ENDS]
            if active:
                self.broken("S8", f"task {row.id} was started before {active} ended")
            return
        for on in {*ties, *self._needs.get(row.id, ())}:
            needed = self.rows.get(on)
            if needed is not None and needed.status not in (S.COMPLETED, S.SUPERSEDED):
                self.broken("S8", f"task {row.id} was started while {on} is {needed.status}")

    # --- handlers ---

    def began(self, record: TaskRecord, part: Stage, fence: int) -> None:
        """A handler is called."""
        task, row = int(record.id), self.rows.get(int(record.id))
        self._tell(f"task {task} {part.name or 'run'} begins (run {record.run})")
        if self._is_in_transaction():
            self.broken("S11", f"task {task} is handled inside a transaction")
        if row is None or row.status != S.RUNNING or row.run != record.run:
            at = "gone" if row is None else f"{row.status} (run {row.run})"
            self.broken("S3", f"run {record.run} of task {task} began, and on record it is {at}")
        other = self._handling.get(task)
        if other is not None:
            self.broken("S3", f"task {task} is handled twice at once, as {other.fence} and {fence}")
        seen = self._fences.get(task, -1)
        if fence < seen or (fence == seen and part is not Stage.UNDO):
            self.broken("S3", f"task {task} has fence {fence} after {seen}")
        self._fences[task] = fence
        self._handling[task] = _Handling(record.run, fence, part)

    def ended(self, record: TaskRecord, part: Stage, outcome: object) -> None:
        """A handler has returned or raised."""
        task = int(record.id)
        self._tell(f"task {task} {part.name or 'run'} ends: {_said(outcome)}")
        self._handling.pop(task, None)
        if isinstance(outcome, Success) and part is not Stage.UNDO:
            self._returned.add((task, record.run))

    # --- events ---

    def heard(self, event: object) -> None:
        """An event came out of a stream of all events."""
        if isinstance(event, Lagged):  # more at once than a stream holds
            self.subscribed()
        if not isinstance(event, About):
            return
        about = cast("About[object]", event)  # an isinstance check loses the type
        task, name = int(about.id), type(about).__name__
        status = _SAYS.get(type(about))
        if isinstance(about, Failed) and not about.will_retry:
            status = S.FAILED
        if status is not None:
            self._heard[task, status] += 1
            self._unheard[task, status] -= 1
            if self._heard[task, status] > self._happened[task, status]:
                self.broken("S10", f"{name} of task {task} before its commit")
        if isinstance(about, Dispatched):
            self._heard_start(task, about.run)
        if isinstance(about, Enqueued) and task not in self._happened_to:
            self.broken("S10", f"Enqueued of task {task} before its commit")
        if isinstance(about, Revived):
            self._over.discard(task)
        elif task in self._over and not isinstance(about, Enqueued):
            self.broken("S10", f"{name} of task {task} after its end")
        if status in ENDS:
            self._over.add(task)

    def _heard_start(self, task: int, run: int) -> None:
        if run <= self._runs_heard.get(task, 0):
            self.broken("S10", f"Dispatched of run {run} of task {task} after a later one")
        if not self._happened[task, S.RUNNING]:
            self.broken("S10", f"Dispatched of task {task} before its commit")
        self._runs_heard[task] = run

    # --- what should have happened by now ---

    def is_quiet(self) -> None:
        """Everything waits and time is to move: what can run, runs."""
        if not self.is_open:
            return
        now, wall = self._now(), self._wall_ms()
        waiting = {(why, row.id) for row, why in self._startable(wall)}
        self._since = {key: self._since.get(key, now) for key in waiting}
        for (why, task), since in sorted(self._since.items()):
            patience = 62 if why != "startable" and now - self.last_jump < 130 else 2
            if now - max(since, self.last_trouble + 12) > patience:
                self.broken("L1", f"task {task} has been {why} for {now - since:.1f} s")
                return

    def _startable(self, wall: int) -> list[tuple[Row, str]]:
        found: list[tuple[Row, str]] = []
        active = [row for row in self.rows.values() if row.status not in ENDS]
        running = [row for row in active if row.status == S.RUNNING]
        domains = Counter(row.domain for row in running)
        groups = Counter(row.group for row in running)
        is_full = len(running) >= (self.bounds.max_concurrency or 1_000_000)
        has_suspect = any(Stage(row.stage).is_alone for row in active)
        for row in active:
            if row.status not in (S.PENDING, S.BLOCKED):
                continue
            is_fresh = Stage(row.stage).part is Stage.EXECUTE
            if is_fresh and row.expires_at_ms is not None and row.expires_at_ms < wall:
                found.append((row, "expired"))
            elif row.status == S.BLOCKED:
                continue
            elif row.due_at_ms is not None:
                if row.due_at_ms < wall:
                    found.append((row, "due"))
            elif not (
                is_full
                or has_suspect
                or _is_held(row, self.pauses)
                or self.bounds.rates.get(row.type)
                or domains[row.domain] >= _or_any(self.bounds.domains.get(row.domain))
                or (row.group and groups[row.group] >= _or_any(self.bounds.groups.get(row.group)))
            ):
                found.append((row, "startable"))
        return found

    def left(self, ties: Iterable[tuple[int, int]]) -> list[Row]:
        """What is active though it could have ended; ``ties`` say who waits for whom.

        What waits for people's decision, for a task it depends on has failed, is not, nor is what
        waits for that.
        """
        waits_for = dict_of(ties)
        for row in self.rows.values():
            if row.parent is not None and row.status not in ENDS:
                waits_for.setdefault(row.parent, []).append(row.id)
        active = [row for row in self.rows.values() if row.status not in ENDS]
        held = {row.id for row in active if self._is_to_be_decided(row, waits_for)}
        while True:
            behind = {
                row.id
                for row in active
                if row.status in (S.BLOCKED, S.WAITING) and held & {*waits_for.get(row.id, ())}
            }
            behind |= {
                row.id
                for row in active
                for ahead in active
                if row.is_follow_up and row.identity == ahead.identity and ahead.id in held
            }
            if behind <= held:
                return [row for row in active if row.id not in held]
            held |= behind

    def _is_to_be_decided(self, row: Row, waits_for: dict[int, list[int]]) -> bool:
        """Whether it waits for what has ended, and not well, and is held for that."""
        needed = [self.rows[on] for on in waits_for.get(row.id, ()) if on in self.rows]
        failed = [each for each in needed if each.status in ENDS and each.status != S.COMPLETED]
        return row.status == S.BLOCKED and row.on_dependency_failure == "hold" and bool(failed)


def dict_of(ties: Iterable[tuple[int, int]]) -> dict[int, list[int]]:
    """Who depends on whom, by the dependent."""
    found: dict[int, list[int]] = {}
    for task, on in ties:
        found.setdefault(task, []).append(on)
    return found


def _is_held(row: Row, pauses: frozenset[tuple[str, str]]) -> bool:
    return (
        ("scheduler", "") in pauses
        or ("domain", row.domain) in pauses
        or (row.group is not None and ("group", row.group) in pauses)
    )


def _or_any(cap: int | None) -> int:
    return 1_000_000 if cap is None else cap


def _said(outcome: object) -> str:
    if isinstance(outcome, BaseException):
        return type(outcome).__name__
    return type(outcome).__name__.lower()
