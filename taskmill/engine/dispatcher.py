"""What starts, and when the next thing can: feeds the rules and carries out what they say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

import anyio

from taskmill.engine.arrivals import arrivals_of, arrives, is_arriving
from taskmill.engine.clock import Alarm, Clock
from taskmill.engine.due.timed import Timed
from taskmill.engine.events.meters import Meters
from taskmill.engine.pressure import Gauges
from taskmill.engine.queue.ready import ReadyQueue
from taskmill.engine.queue.tally import Tally
from taskmill.engine.writer import Receive
from taskmill.model.changes import (
    Change,
    Claim,
    ClaimNew,
    Expire,
    Promote,
    Ready,
    Refill,
    StopCause,
)
from taskmill.model.effects import Effect, Move, Opening, Promoted, Refilled, Refused, Swept
from taskmill.model.errors import StoreError
from taskmill.model.pauses import PauseScope
from taskmill.model.record import TaskId, TaskRecord
from taskmill.model.times import to_ms
from taskmill.rules.gates import Gate, GateKind
from taskmill.rules.limits import Limits
from taskmill.rules.plan import Start, plan
from taskmill.rules.preempt import Urgent, victims
from taskmill.rules.ratelimit import Bucket

PROMOTE = 1000
"""How many due tasks are made ready in one batch."""

EXPIRE = 500
"""How many tasks that did not start in time end in one batch."""

_MICROSECOND_NS = 1000
"""What a float of seconds may be off by."""

_JUMP_MS = 1000
"""By how much the wall clock may outrun the monotonic one before it was set forward."""


class Dispatcher:
    """The ready queue, the slots in use, and the time when the next waiting task is due.

    ``start`` gets each claimed task after its claim has committed, ``stop`` those that are to
    make room. A slot is taken when the claim is proposed and held until `release`.
    """

    def __init__(
        self,
        *,
        limits: Limits,
        gauges: Gauges,
        clock: Clock,
        start: Callable[[TaskRecord, Start], None],
        stop: Callable[[TaskId, StopCause], None],
        wake: Callable[[], None],
        is_handled: Callable[[str], bool],
        follow: Callable[[Iterable[Move]], None],
        meters: Meters,
    ) -> None:
        self.queue = ReadyQueue(limits, on_park=meters.held)
        self.starts: dict[TaskId, Start] = {}
        """What holds a slot: claimed, running, or told to stop and not stopped yet."""
        self._limits = limits
        self._gauges = gauges
        self._clock = clock
        self._start = start
        self._stop = stop
        self._wake = wake
        self._is_handled = is_handled
        self._follow = follow
        self._meters = meters
        self._claiming: dict[TaskId, Ready | None] = {}
        """The claims on their way, and where their tasks go back to; None for one that has left, or
        is not there yet."""
        self._retries = 0
        self._next_due_ms: int | None = None
        self._is_promoting = False
        self._expiry = Timed(lambda now_ms: Expire(now_ms=now_ms, limit=EXPIRE), self._expired)
        self._timed = [self._expiry]
        self._tireless: list[Timed] = []
        self._is_stopped = True
        """Until the scheduler has opened, and from when it shuts down on."""
        self._clocks: tuple[int, int] | None = None
        self._emptied = anyio.Event()
        self.alarm = Alarm(ring=wake, now=lambda: clock.now().timestamp())
        self.timer = Alarm(ring=wake, now=clock.monotonic)

    def load(self, opening: Opening) -> None:
        """Start from what the store held when it was opened."""
        self._limits.pauses.load(opening.pauses)
        self._look_at_the_time()
        self.queue.load(opening.levels)
        self._retries = self._handled(opening.retries)
        self._next_due_ms = opening.next_due_ms
        self._expiry.by(opening.next_expiry_ms)

    # --- what the store said ---

    def add(self, ready: Ready) -> None:
        """A task became ready."""
        if self._limits.shares.is_fair:
            self._look_at_the_time()
        if ready.id in self._claiming:
            self._claiming[ready.id] = ready
        else:
            self.queue.add(ready)
            if self._limits.all.is_open(0) or self.queue.has_urgent:
                self._wake()

    def remove(self, ready: Ready) -> None:
        """A ready task was cancelled or changed, or has expired."""
        if ready.id in self._claiming:
            self._claiming[ready.id] = None
        else:
            self.queue.remove(ready)
            self._wake()  # others may have waited for it, as for a suspect that is to run alone

    def due(self, at_ms: int, *, retry: bool = False) -> None:
        """A task waits in the store until ``at_ms``."""
        self._retries += retry
        if self._next_due_ms is None or at_ms < self._next_due_ms:
            self._next_due_ms = at_ms
            self._set_alarms()

    def expires(self, at_ms: int) -> None:
        """A task ends at ``at_ms`` if it has not started by then."""
        if self._expiry.by(at_ms):
            self._set_alarms()

    def watch(self, timed: Timed, *, while_stopped: bool = False) -> None:
        """Have another kind of change made when its time comes, or also while nothing starts."""
        self._timed.append(timed)
        if while_stopped:
            self._tireless.append(timed)

    def no_longer_due(self, *, retry: bool) -> None:
        """A task that waited for its time was cancelled."""
        self._retries -= retry

    def release(self, start: Start, *, is_whole: bool) -> None:
        """A handler has stopped: its slot is free. ``is_whole``: it was not told to stop."""
        del self.starts[start.ready.id]
        self._limits.all.leave()
        if start.lane.is_alone:
            self._limits.all.is_taken_alone = False
        self.queue.release(start, self.now_ns(), is_whole=is_whole)
        if not self.starts:
            self._emptied.set()
        self._wake()

    def is_overdue(self, start: Start) -> None:
        """A handler that was told to stop has not in time: its slot is not counted on any more."""
        start.is_overdue = True
        self._wake()

    def pending(self) -> list[Tally]:
        """The tasks that are due, those whose claim is being written included."""
        claiming = Tally()
        for task in self._claiming:
            if is_arriving(task):
                continue  # it is not there before its submit is written
            lane = self.starts[task].lane
            claiming.change(lane.kind.domain, lane.group, 1)
        return [*self.queue.ready, claiming]

    def refresh(self) -> None:
        """Look at the time and, if the last reading is old, at the pressure."""
        now_ns, _ = self._look_at_the_time()
        if self._gauges.read(now_ns):
            for gate in self._limits.pressure_gates:
                self.queue.wake(gate)
            self._wake()

    # --- what was changed at run time ---

    def opened(self, gates: Iterable[Gate]) -> None:
        """These gates may have opened."""
        self._look_at_the_time()
        for gate in gates:
            self.queue.wake(gate)
        self._wake()

    def regroup(self) -> None:
        """How slots are shared has changed."""
        self._look_at_the_time()
        if self._limits.shares.is_fair:
            for start in self.starts.values():
                if start.share is None:
                    self.queue.charge(start, self._limits.share(start.lane.group))
        self.queue.regroup()
        self._wake()

    def reroute(self) -> None:
        """Where tasks run has changed."""
        self._look_at_the_time()
        self.queue.reroute()
        self._wake()

    # --- what is to be written ---

    def is_news(self, change: Change) -> bool:
        """Whether it is a submit that may start at once."""
        is_free = not self._is_stopped and self._limits.all.is_open(0)
        return is_free and arrives(change) is not None

    def propose(self, batch: list[tuple[Change, Receive]]) -> Iterator[tuple[Change, Receive]]:
        """The claims that fill the free slots, and the reads that keep the queue filled.

        Where nobody waits, what ``batch`` submits may be claimed with its submit.
        """
        now_ns, now_ms = self._look_at_the_time()
        if not self._is_stopped:
            yield from self._work(batch, now_ns, now_ms)
        for timed in self._tireless if self._is_stopped else self._timed:
            yield from timed.propose(now_ms)
        if not self._is_stopped:
            self._set_alarms()

    def _work(
        self, batch: list[tuple[Change, Receive]], now_ns: int, now_ms: int
    ) -> Iterator[tuple[Change, Receive]]:
        """What starts, and what is read for that."""
        if self._gauges.read(now_ns):
            for gate in self._limits.pressure_gates:
                self.queue.wake(gate)
        if not self._limits.pauses.is_held(PauseScope.SCHEDULER):
            yield from self._claims(batch, now_ns, now_ms)
            if not self._limits.all.is_taken_alone:
                self._preempt(now_ns)
            if self.queue.has_open:
                self._meters.held(GateKind.GLOBAL)  # the decision leaves nothing else open
        elif self.queue.has_open:
            self._meters.held(GateKind.SCHEDULER_PAUSE)
        for refill in self.queue.refills():
            yield refill, partial(self._refilled, refill)
        due_ms = self._next_due_ms
        if due_ms is not None and due_ms <= now_ms and not self._is_promoting:
            self._is_promoting = True
            yield Promote(now_ms=now_ms, limit=PROMOTE), self._promoted

    def _claims(
        self, batch: list[tuple[Change, Receive]], now_ns: int, now_ms: int
    ) -> Iterator[tuple[Change, Receive]]:
        """The claims of what starts; where nobody waits, that may be what the batch submits.

        A submit may turn out to make no task. So nobody is to wait for what it took meanwhile.
        """
        arrivals = {} if self.queue.has_open else arrivals_of(batch, self._limits, now_ns)
        for ready in arrivals:
            self.queue.add(ready)
        for start in plan(self.queue, self._limits.all, now_ns):
            ready, has_undo = start.ready, start.lane.kind.has_undo
            self.starts[ready.id] = start
            place = arrivals.pop(ready, None)
            claim: Change
            if place is None:
                self._claiming[ready.id] = ready
                claim = Claim(ready.id, now_ms, has_undo)
            else:
                self._claiming[ready.id] = None
                claim = ClaimNew(place, now_ms, has_undo)
                submit, receive = batch[place]
                batch[place] = submit, partial(self._arrived, start, receive)
            yield claim, partial(self._claimed, start)
        for ready in arrivals:
            self.queue.remove(ready)

    def _preempt(self, now_ns: int) -> None:
        """Have running tasks make room for more urgent ones that only caps hold."""
        urgent = [
            Urgent(queue.lane, level.count, priority)
            for priority, level, queue in self.queue.urgent()
        ]
        if urgent:
            for start in victims(urgent, self.starts.values(), self._limits.all, now_ns):
                self._stop(start.ready.id, StopCause.PREEMPTED)

    def _arrived(self, start: Start, receive: Receive, effect: Effect | StoreError) -> None:
        """What was to be claimed with its submit has an id now, if the submit made a task."""
        [placed] = effect if isinstance(effect, tuple) else (None,)
        if placed is not None and placed.ready is not None:
            self.starts[placed.id] = self.starts.pop(start.ready.id)
            self._claiming[placed.id] = self._claiming.pop(start.ready.id)
            start.ready = placed.ready
        receive(effect)

    def _claimed(self, start: Start, effect: Effect | StoreError) -> None:
        ready = self._claiming.pop(start.ready.id)
        if isinstance(effect, TaskRecord):
            self._start(effect, start)
            if self.queue.has_urgent:
                self._wake()
            return
        if ready is not None and not isinstance(effect, Refused):
            self.queue.add(ready)  # the store refused it, or it has expired and is not yet ended
            if effect is None:
                self._expiry.by(to_ms(self._clock.now()))
        for gate in start.lane.gates:
            if isinstance(gate, Bucket):
                gate.give_back(start.at_ns)
        self.release(start, is_whole=False)

    def _refilled(self, refill: Refill, effect: Effect | StoreError) -> None:
        if isinstance(effect, Refilled):
            self.queue.refilled(refill, effect.positions)
        else:
            self.queue.not_refilled(refill)
        self._wake()

    def _promoted(self, effect: Effect | StoreError) -> None:
        self._is_promoting = False
        if isinstance(effect, Promoted):
            for ready in effect.ready:
                self.add(ready)
            self._retries -= self._handled(effect.retries)
            self._next_due_ms = effect.next_due_ms
        self._wake()

    def _expired(self, effect: Effect) -> int | None:
        self._wake()
        if not isinstance(effect, Swept):
            return None
        self._follow(effect.moves)
        return effect.next_ms

    def _handled(self, retries: Mapping[str, int]) -> int:
        """How many of the tasks in backoff have a handler here."""
        return sum(count for kind, count in retries.items() if self._is_handled(kind))

    # --- time ---

    def now_ns(self) -> int:
        """The monotonic clock in nanoseconds."""
        return round(self._clock.monotonic() * 1e9)

    def _look_at_the_time(self) -> tuple[int, int]:
        """Tell the queue what time it is; a wall clock set forward makes nobody older."""
        now_ns, now_ms = self.now_ns(), to_ms(self._clock.now())
        if self._clocks is not None:
            expected_ms = self._clocks[1] + (now_ns - self._clocks[0]) // 1_000_000
            if now_ms - expected_ms > _JUMP_MS:
                self._limits.pauses.clock_jumped(expected_ms, now_ms)
        self._clocks = (now_ns, now_ms)
        self.queue.at(now_ns, now_ms)
        return now_ns, now_ms

    def rearm(self) -> None:
        """What is due next has changed."""
        self._set_alarms()
        self._wake()

    def _set_alarms(self) -> None:
        """Be woken when the next task is due, the next token comes, or a reading is old."""
        due_ms = None if self._is_promoting else self._next_due_ms
        for timed in self._timed:
            next_ms = timed.next_ms
            if next_ms is not None and (due_ms is None or next_ms < due_ms):
                due_ms = next_ms
        self.alarm.set(None if due_ms is None else due_ms / 1000)
        times = [self.queue.next_token()]
        if any(self.queue.holds_at(gate) for gate in self._limits.pressure_gates):
            times.append(self._gauges.next_read)
        soonest = min((at for at in times if at is not None), default=None)
        self.timer.set(None if soonest is None else (soonest + _MICROSECOND_NS) / 1e9)

    # --- idleness, the end ---

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs, could start, or waits for its next attempt."""
        return not (self.starts or self.queue.startable or self._retries)

    def begin(self) -> None:
        """Start what may start from now on."""
        self._is_stopped = False
        self._wake()

    def stop(self) -> None:
        """Start nothing further."""
        self._is_stopped = True

    async def emptied(self) -> None:
        """Wait until no slot is in use."""
        while self.starts:
            self._emptied = anyio.Event()
            await self._emptied.wait()
