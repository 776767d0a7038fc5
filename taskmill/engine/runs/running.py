"""What runs now: starts attempts, stops them, and settles what came of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from random import Random
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup

from taskmill.engine.aftermath import Aftermath
from taskmill.engine.clock import Clock
from taskmill.engine.dispatcher import Dispatcher
from taskmill.engine.events.announce import end_of_run, header_of, load_of
from taskmill.engine.events.endings import Endings
from taskmill.engine.events.hub import Hub
from taskmill.engine.events.meters import Meters
from taskmill.engine.events.tracing import Tracing, traced
from taskmill.engine.registry import Registry
from taskmill.engine.runs.attempt import Attempt
from taskmill.engine.runs.durations import Durations
from taskmill.engine.runs.figures import Figures
from taskmill.engine.runs.watchdog import Watchdog
from taskmill.engine.writer import Writer
from taskmill.executors.base import Executor
from taskmill.executors.tasklog import about
from taskmill.model.changes import Ready, Settlement, StopCause
from taskmill.model.effects import Effect, Move, Settled
from taskmill.model.errors import StoreError
from taskmill.model.events import Dispatched, StopOverdue
from taskmill.model.record import ErrorRecord, TaskId, TaskRecord
from taskmill.model.status import TaskStatus
from taskmill.model.times import from_ms, to_ms
from taskmill.rules.limits import Limits
from taskmill.rules.plan import Start
from taskmill.rules.settle import Halted, Raised, Result, Returned, settle

if TYPE_CHECKING:
    from taskmill.engine.runs.surroundings import Surroundings

log = logging.getLogger("taskmill.running")


class Running:
    """The attempts under way. Each holds its slot until its handler has really stopped."""

    def __init__(
        self,
        *,
        registry: Registry,
        limits: Limits,
        executors: Mapping[str, Executor],
        hub: Hub,
        endings: Endings,
        figures: Figures,
        meters: Meters,
        durations: Durations,
        clock: Clock,
        rng: Random,
        tracing: Tracing | None,
    ) -> None:
        self._registry = registry
        self._limits = limits
        self._executors = executors
        self._hub = hub
        self._endings = endings
        self._figures = figures
        self._meters = meters
        self._durations = durations
        self._clock = clock
        self._rng = rng
        self._tracing = tracing
        self._attempts: dict[TaskId, Attempt] = {}
        self._unreadable: set[str] = set()
        """The types of which it was said that what is stored of them does not fit."""
        self._halting = False

    def connect(
        self,
        *,
        handlers: TaskGroup,
        writer: Writer,
        dispatcher: Dispatcher,
        aftermath: Aftermath,
        watchdog: Watchdog,
        surroundings: Surroundings,
    ) -> None:
        """Meet the parts that exist only while the scheduler is open."""
        self._handlers = handlers
        self._writer = writer
        self._dispatcher = dispatcher
        self._aftermath = aftermath
        self._watchdog = watchdog
        self._surroundings = surroundings

    def records(self) -> list[TaskRecord]:
        """The tasks whose handlers run now."""
        return [attempt.reported for attempt in self.attempts()]

    def attempts(self) -> list[Attempt]:
        """The attempts under way. Asked from any thread: no other can come in while it copies."""
        return list(self._attempts.values())

    def find(self, task: TaskId) -> Attempt | None:
        """The attempt under way at a task."""
        return self._attempts.get(task)

    def start(self, record: TaskRecord, start: Start) -> None:
        """Run a task whose claim has committed."""
        registration = self._registry.find(record.type)
        if registration is None:
            raise LookupError(f"{record.type!r} was started and has no handler here")
        attempt = Attempt(self._surroundings, record, registration, start, self._rng.random)
        self._attempts[record.id] = attempt
        too_late = self._cause_to_stop(record)
        if too_late is not None:
            attempt.stop(too_late)
            self._finish(attempt, Halted(too_late))
            return
        start.can_be_preempted = (
            attempt.options.preemptible and record.preemptions < self._limits.max_preemptions
        )
        attempt.has_begun = True
        self._meters.started(record.type)
        if self._hub.is_heard:
            header, load = header_of(attempt.seen), load_of(self._registry, record)
            self._hub.publish(lambda: Dispatched(header=header, load=load, run=record.run))
        if self._watchdog.is_parked:
            self._watchdog.wake()
        self._launch(attempt)
        if attempt.options.timeout is not None:
            self._handlers.start_soon(self._time_out, attempt, attempt.options.timeout)

    def _cause_to_stop(self, record: TaskRecord) -> StopCause | None:
        """Why a task is not to run after all, though its claim has committed."""
        if self._halting:
            return StopCause.SHUTDOWN
        if self._limits.pauses.holds(record.domain, record.group):
            return StopCause.PAUSED
        return None

    def stop(self, task: TaskId, cause: StopCause) -> None:
        """Tell a running task to stop."""
        attempt = self._attempts.get(task)
        if attempt is not None:
            self._stop(attempt, cause)

    def stop_where(self, is_meant: Callable[[TaskRecord], bool], cause: StopCause) -> None:
        """Tell the running tasks to stop that are meant."""
        for attempt in list(self._attempts.values()):
            if is_meant(attempt.record):
                self._stop(attempt, cause)

    def halt(self) -> None:
        """Stop everything that runs, and everything that would still start."""
        self._halting = True
        for attempt in list(self._attempts.values()):
            self._stop(attempt, StopCause.SHUTDOWN)

    async def stopped(self) -> None:
        """Wait until no handler runs."""
        while self._attempts:
            await next(iter(self._attempts.values())).ended()

    @property
    def longest_grace(self) -> timedelta:
        """The longest time a handler that runs now may take to stop."""
        graces = (attempt.options.stop_grace for attempt in self._attempts.values())
        return max(graces, default=timedelta(0))

    # --- one attempt ---

    def _launch(self, attempt: Attempt) -> None:
        """Run a handler in an asyncio task that no task group waits for.

        What a handler leaves behind - a cancelled task, an open cancel scope - would bring a
        task group down, and the scheduler with it; here it ends with the task.
        """
        task = asyncio.get_running_loop().create_task(self._run(attempt))
        attempt.runs_in = task
        task.add_done_callback(partial(self._ran, attempt))

    async def _run(self, attempt: Attempt) -> None:
        try:
            executor = self._executors[attempt.start.lane.executor]
            if self._tracing is None:
                result = await attempt.run(executor)
            else:
                run = partial(attempt.run, executor)
                result = await traced(self._tracing, attempt.record, run)
        except BaseException as error:  # noqa: BLE001 - the last resort: nothing may pass
            result = attempt.broken(error)
        self._finish(attempt, result)

    def _ran(self, attempt: Attempt, task: asyncio.Task[None]) -> None:
        """A handler's task is done; one that was cancelled before it began is settled here."""
        attempt.runs_in = None
        if not attempt.has_ended:
            error = asyncio.CancelledError("cancelled before it began")
            result = attempt.broken(error)
            self._finish(attempt, result)
        failure = None if task.cancelled() else task.exception()
        if failure is not None:  # a fault of ours, none of the handler's
            self._handlers.start_soon(_raise, failure)

    async def _time_out(self, attempt: Attempt, timeout: timedelta) -> None:
        since, left = self._clock.monotonic(), timeout.total_seconds()
        while left > _OVER and not attempt.has_ended:
            with anyio.move_on_after(left):
                await attempt.ended()
            spent = self._clock.monotonic() - since
            left = timeout.total_seconds() + attempt.preparing.seconds - spent
        if not attempt.has_ended:
            self._stop(attempt, StopCause.TIMEOUT)

    def _stop(self, attempt: Attempt, cause: StopCause) -> None:
        if attempt.cause is None:
            self._handlers.start_soon(self._watch, attempt)
        attempt.stop(cause)

    async def _watch(self, attempt: Attempt) -> None:
        """Name a handler that does not stop in time."""
        grace = attempt.options.stop_grace
        with anyio.move_on_after(grace.total_seconds()):
            await attempt.ended()
        if attempt.has_ended:
            return
        self._dispatcher.is_overdue(attempt.start)
        record = attempt.record
        log.warning(
            "task %d (%s) was told to stop %s ago and has not; it keeps its slot",
            record.id,
            record.type,
            grace,
            extra=about(record),
        )
        load = load_of(self._registry, record)
        self._hub.publish(lambda: StopOverdue(header=header_of(record), load=load, grace=grace))

    def _finish(self, attempt: Attempt, result: Result) -> None:
        """The handler has stopped: have the outcome written and give the slot back."""
        settlement = settle(attempt.record, result, now_ms=self._now_ms(), io=attempt.io_so_far)
        attempt.end()
        self._count(attempt, result)
        del self._attempts[attempt.record.id]
        self._writer.send(settlement, partial(self._settled, attempt, settlement))
        self._dispatcher.release(attempt.start, is_whole=attempt.cause is None)

    def _count(self, attempt: Attempt, result: Result) -> None:
        record, start = attempt.record, attempt.start
        waited = None
        if record.run == 1 and record.started_at is not None:
            waited = (record.started_at - record.ready_at) / _SECOND
        seconds = self._clock.monotonic() - start.at_ns / 1e9
        self._figures.ended(start.lane.executor, seconds, waited)
        if attempt.has_begun:
            self._meters.stopped(record.type, start.lane.executor, seconds, waited)
        if isinstance(result, Returned):
            self._durations.ended(record, seconds)

    # --- what came of it ---

    def _settled(
        self, attempt: Attempt, settlement: Settlement, effect: Effect | StoreError
    ) -> None:
        if settlement.is_unreadable:
            self._held(attempt.record)
        if isinstance(effect, StoreError):
            self._unstorable(attempt, settlement, effect)
        elif isinstance(effect, Settled) and effect.status is not None:
            self._requeue(attempt.record, settlement, effect)
            self._announce(attempt, settlement, effect)
            if attempt.has_begun or effect.status is not TaskStatus.PENDING:
                self._meters.settled(attempt.record.type, settlement, effect, attempt.cause)
            if effect.status.is_terminal:
                self._endings.ended(settlement.id)
                if attempt.record.schedule is not None:
                    self._aftermath.on_occurrence_ended()
            if effect.moves:
                self._aftermath.follow(effect.moves)

    def _requeue(self, record: TaskRecord, settlement: Settlement, settled: Settled) -> None:
        if record.expires_at is not None and settled.status is TaskStatus.PENDING:
            self._dispatcher.expires(to_ms(record.expires_at))
        if settled.after is not None:
            self._aftermath.requeue(Move(record, settled.after))
        elif settlement.due_at_ms is not None:
            self._dispatcher.due(settlement.due_at_ms, retry=settlement.attempt > 0)
        elif settled.status is TaskStatus.PENDING:
            at = to_ms(record.ready_at)
            stage = int(record.stage)
            place = Ready(record.type, record.group, record.priority, at, record.id, stage)
            self._dispatcher.add(place)

    def _announce(self, attempt: Attempt, settlement: Settlement, settled: Settled) -> None:
        """Publish what came of a run; one taken back before it began was none to subscribers."""
        if not self._hub.is_heard:
            return
        if settled.status is TaskStatus.PENDING and not attempt.has_begun:
            return
        event = end_of_run(
            attempt.seen,
            attempt.load,
            settlement,
            settled,
            result=attempt.result,
            cause=attempt.cause,
        )
        if event is not None:
            self._hub.publish(lambda: event)

    def _held(self, record: TaskRecord) -> None:
        """Say once for each type that its tasks do not fit it; what does not belongs in no log."""
        if record.type not in self._unreadable:
            self._unreadable.add(record.type)
            log.warning(
                "task %d (%s) is held, and so may others: what is stored of it does not fit its "
                "type any more; `taskmill check` lists such tasks",
                record.id,
                record.type,
                extra=about(record),
            )

    def _unstorable(self, attempt: Attempt, settlement: Settlement, error: StoreError) -> None:
        """The database refused this one settlement: the task fails, and says why."""
        log.error(
            "task %d: its outcome could not be stored: %s",
            settlement.id,
            error,
            extra=about(attempt.record),
        )
        if settlement.reason is not None and settlement.reason.startswith(_UNSTORABLE):
            return  # even that was refused; recovery takes the row up at the next opening
        reason = f"{_UNSTORABLE}: {error}"
        failure = ErrorRecord(
            type="StoreError",
            message=reason,
            traceback="",
            run=settlement.run,
            at=from_ms(settlement.now_ms),
        )
        again = settle(
            attempt.record,
            Raised(error=failure, max_retries=0, delay=None, reason=reason),
            now_ms=settlement.now_ms,
        )
        self._writer.send(again, partial(self._settled, attempt, again))

    def _now_ms(self) -> int:
        return to_ms(self._clock.now())


async def _raise(failure: BaseException) -> None:
    raise failure


_OVER = 1e-6
"""Seconds that event loops round off."""
_SECOND = timedelta(seconds=1)
_UNSTORABLE = "result could not be stored"
