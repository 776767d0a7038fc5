"""Which ready task goes first, and which lanes wait at which gate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from taskmill.engine.queue.lanes import START, WINDOW, LaneQueue, Level, Position, levels_of
from taskmill.engine.queue.pools import Pool
from taskmill.engine.queue.startable import Startable
from taskmill.engine.queue.timers import Timers
from taskmill.engine.queue.woken import Woken
from taskmill.model.changes import Ready, Refill
from taskmill.model.effects import LevelCount
from taskmill.model.record import TaskId
from taskmill.rules.gates import Gate, GateKind
from taskmill.rules.limits import Lane, Limits
from taskmill.rules.plan import Start
from taskmill.rules.ratelimit import Bucket
from taskmill.rules.shares import Share


class ReadyQueue:
    """All ready tasks, by lane; memory is bounded by the levels in use, not by the backlog.

    A lane whose head is known is in the pool of open lanes, or in the pool of the gate at which
    it is parked. A gate that has room wakes the best lane parked there, and the next one when
    that has been asked: of the lanes behind an open gate, the best is always open.
    """

    def __init__(
        self, limits: Limits, *, on_park: Callable[[GateKind], None] = lambda _: None
    ) -> None:
        self._limits = limits
        self._on_park = on_park
        self._shares = limits.shares
        self._everyone = Share("", 1, 0)
        self._lanes: dict[tuple[str, str | None, int, int], LaneQueue] = {}
        self._open = Pool(self._shares)
        self._parked: dict[Gate, Pool] = {}
        self._short: dict[tuple[LaneQueue, int], None] = {}
        self._ages: Timers[LaneQueue] = Timers()
        self._tokens: Timers[Bucket] = Timers()
        self._urgent: dict[LaneQueue, None] = {}
        self._woken = Woken(self._shares)
        self._parked_of: dict[Share, dict[Pool, None]] = {}
        """Where lanes of a group may be parked."""
        self._stalled: dict[Gate, dict[Gate, None]] = {}
        self._chosen: LaneQueue | None = None
        self._startable = Startable(limits.pauses)
        self.ready = self._startable.all
        self._now_ns = 0
        self._now_ms = 0

    def load(self, levels: Sequence[LevelCount]) -> None:
        """Start from the counts of a store that was just opened; the windows fill by refills."""
        for counted in levels:
            queue = self._queue(counted.type, counted.group, counted.priority, counted.stage)
            queue.levels[counted.priority] = Level(count=counted.count, tail=START)
            self._startable.change(queue, counted.count)
            self._note(queue, counted.priority)

    def at(self, now_ns: int, now_ms: int) -> None:
        """It is this time now, on the monotonic and the wall clock; what has aged moves up."""
        self._now_ns, self._now_ms = now_ns, now_ms
        for queue in self._ages.due(now_ms):
            self._rekey(queue)
        for bucket in self._tokens.due(now_ns):
            self.wake(bucket)

    def add(self, ready: Ready) -> None:
        """A task became ready."""
        queue = self._queue(ready.type, ready.group, ready.priority, ready.stage)
        level = queue.levels.get(ready.priority)
        if level is None:
            level = queue.levels[ready.priority] = Level()
        level.add((ready.ready_at_ms, ready.id))
        if not self._startable.count and self._shares.is_fair:
            self._shares.nothing_waited(self._now_ns)
        self._startable.change(queue, 1)
        if level.window and level.window[0] == (ready.ready_at_ms, ready.id):
            self._rekey(queue)

    def remove(self, ready: Ready) -> None:
        """A ready task was cancelled or changed."""
        queue = self._queue(ready.type, ready.group, ready.priority, ready.stage)
        level = queue.levels[ready.priority]
        self._startable.change(queue, -1)
        if level.remove((ready.ready_at_ms, ready.id)):
            self._rekey(queue)
        self._note(queue, ready.priority)

    def refills(self) -> Iterator[Refill]:
        """What to ask of the store now."""
        for queue, priority in list(self._short):
            del self._short[queue, priority]
            level = queue.levels.get(priority)
            if level is None or not level.is_short or level.tail is None:
                continue
            level.refilling = True
            yield Refill(
                type=queue.lane.kind.type,
                group=queue.lane.group,
                priority=priority,
                after=level.tail,
                limit=WINDOW,
                stage=int(queue.lane.stage),
            )

    def refilled(self, refill: Refill, positions: Sequence[Position]) -> None:
        """The store answered a refill."""
        queue = self._queue(refill.type, refill.group, refill.priority, refill.stage)
        level = queue.levels[refill.priority]
        level.refill(refill.after, positions, refill.limit)
        self._rekey(queue)
        self._note(queue, refill.priority)

    def not_refilled(self, refill: Refill) -> None:
        """The store could not answer a refill; it will be asked again."""
        queue = self._queue(refill.type, refill.group, refill.priority, refill.stage)
        queue.levels[refill.priority].refilling = False
        self._note(queue, refill.priority)

    # --- what rules.plan asks ---

    def weigh(self) -> None:
        """See what time and learnt durations have made of the accounts of groups that run."""
        if not self._shares.is_fair:
            return
        has_fallen, self._shares.has_fallen = self._shares.has_fallen, False
        if not (has_fallen or self._woken.by_share):
            return
        for share in self._shares.running():
            if has_fallen:
                self._account_changed(share)
            for queue in self._woken.of(share):
                self._pass_on(queue)

    def best(self) -> Lane | None:
        """The open lane whose head goes first; None when no lane is open."""
        queue = self._chosen = self._open.best(self._now_ns, raises_floor=True)
        return None if queue is None else queue.lane

    def take(self, now_ns: int) -> Start:
        """Take the head of the best lane out of the queue, to its group's account."""
        queue = self._taken()
        effective, ready_at_ms, task = queue.key or (0, 0, 0)
        base, lane = queue.base, queue.lane
        level = queue.levels[base]
        del level.window[0]
        level.count -= 1
        self._startable.change(queue, -1)
        ready = Ready(lane.kind.type, lane.group, base, ready_at_ms, TaskId(task), int(lane.stage))
        start = Start(lane, ready, effective, now_ns)
        if self._shares.is_fair:
            self.charge(start, queue.share)
        self._rekey(queue)
        if level.tail is not None or not level.window:
            self._note(queue, base)
        return start

    def park(self, gate: Gate) -> None:
        """Close the best lane until ``gate`` wakes it."""
        queue = self._taken()
        pool = self._parked.get(gate)
        if pool is None:
            pool = self._parked[gate] = Pool(self._shares, gate)
        self._move(queue, pool)
        self._on_park(gate.kind)
        if isinstance(gate, Bucket):
            self._tokens.set(gate, gate.opens_at(self._now_ns))

    def woken_by(self) -> Gate | None:
        """The gate that woke the best lane, if it has not been asked since."""
        return None if self._chosen is None else self._chosen.woken_by

    def wake(self, gate: Gate) -> None:
        """Open the best lane that is parked at ``gate``, if there is one and the gate is open."""
        pool = self._parked.get(gate)
        if pool is None and gate not in self._stalled:
            return
        if not gate.is_open(self._now_ns):
            if isinstance(gate, Bucket):
                self._tokens.set(gate, gate.opens_at(self._now_ns))
            return
        queue = None if pool is None else pool.best(self._now_ns)
        if queue is not None:
            if pool is not None:
                pool.has_woken(queue.share)
            self._woken.note(queue, gate)
            self._move(queue, self._open)
        elif pool is not None:
            del self._parked[gate]
        for stalled in self._stalled.pop(gate, ()):
            self.wake(stalled)

    def go_on(self, gate: Gate, held_at: Gate | None) -> None:
        """The lane that ``gate`` woke has started, or is held at another gate: wake the next.

        Where every lane parked at ``gate`` would be held there too, they stay until that opens.
        """
        pool = self._parked.get(gate)
        if held_at is None or held_at is gate or pool is None or not pool.all_face(held_at):
            self.wake(gate)
        else:
            self._stalled.setdefault(held_at, {})[gate] = None

    def next_token(self) -> int | None:
        """When, on the monotonic clock, a token comes that a lane waits for."""
        return self._tokens.next()

    # --- accounts ---

    def charge(self, start: Start, share: Share) -> None:
        """A task takes a slot at the expense of its group."""
        start.share = share
        self._shares.start(share, start.lane.kind.type, start.at_ns)
        if self._woken.by_share:
            for queue in self._woken.of(share):
                self._pass_on(queue)

    def release(self, start: Start, now_ns: int, *, is_whole: bool) -> None:
        """A slot is free: its group pays for it, and what waited for it wakes."""
        self._now_ns = now_ns
        share = start.share
        if share is not None:
            self._shares.end(share, start.lane.kind.type, start.at_ns, now_ns, is_whole=is_whole)
            self._account_changed(share)
        for held in start.lane.held:
            held.leave()
        if self._parked or self._stalled:
            for gate in start.lane.gates:
                self.wake(gate)
            for gate in self._limits.io.gates:
                self.wake(gate)

    def regroup(self) -> None:
        """Shares were turned on or off, or a weight has changed: every lane takes its place anew.

        Lanes that were parked are looked at again.
        """
        self._open = Pool(self._shares)
        self._parked.clear()
        self._stalled.clear()
        self._parked_of.clear()
        for queue in self._lanes.values():
            self._leave(queue)
            queue.share = self._share(queue.lane.group)
            queue.share.lanes += 1
            queue.pool = None
            if queue.key is not None:
                self._move(queue, self._open)

    def reroute(self) -> None:
        """Where tasks run has changed: every lane has other gates."""
        for (task_type, group, _, stage), queue in self._lanes.items():
            for priority in [*queue.levels][:1]:
                queue.lane = self._limits.lane(task_type, group, priority, stage)
        self.regroup()

    # --- what others ask ---

    def holds_at(self, gate: Gate) -> bool:
        """Whether any lane may be parked at ``gate``."""
        return gate in self._parked

    @property
    def has_open(self) -> bool:
        """Whether a lane holds tasks and is held by no gate of its own, as far as was looked."""
        return not self._open.is_empty

    @property
    def has_urgent(self) -> bool:
        """Whether tasks wait that may preempt."""
        return bool(self._urgent)

    def urgent(self) -> list[tuple[int, Level, LaneQueue]]:
        """The levels whose tasks may preempt, with their priorities, best first."""
        return levels_of(self._urgent)

    @property
    def startable(self) -> int:
        """How many ready tasks have a handler here and are under no pause."""
        return self._startable.under_no_pause()

    def find(
        self, task_type: str, group: str | None, priority: int, stage: int = 0
    ) -> LaneQueue | None:
        """The lane of this type, group, base priority and stage, if it holds tasks."""
        return self._lanes.get((task_type, group, self._limits.band(priority), stage))

    def waiting(self) -> Iterable[LaneQueue]:
        """Every lane that holds tasks."""
        return self._lanes.values()

    # --- inside ---

    def _queue(self, task_type: str, group: str | None, priority: int, stage: int) -> LaneQueue:
        key = (task_type, group, self._limits.band(priority), stage)
        queue = self._lanes.get(key)
        if queue is None:
            lane = self._limits.lane(task_type, group, priority, stage)
            queue = self._lanes[key] = LaneQueue(lane, self._share(group))
            queue.share.lanes += 1
            if lane.is_urgent:
                self._urgent[queue] = None
        return queue

    def _share(self, group: str | None) -> Share:
        return self._limits.share(group) if self._shares.is_fair else self._everyone

    def _taken(self) -> LaneQueue:
        queue, self._chosen = self._chosen, None
        if queue is None:
            raise LookupError("no lane was chosen; ask best() first")
        if queue.woken_by is not None:
            self._woken.note(queue, None)
        return queue

    def _move(self, queue: LaneQueue, pool: Pool | None) -> None:
        """Put a lane into a pool; none while its head is not known."""
        if queue.pool is not None:
            queue.pool.leave(queue)
        queue.pool = pool
        competes = pool is self._open or (pool is None and bool(queue.levels) and queue.competes)
        if competes != queue.competes:
            queue.competes = competes
            queue.share.competing += 1 if competes else -1
            if competes and queue.share.competing == 1 and self._shares.is_fair:
                self._open.raise_floor(self._now_ns)
                self._shares.compete(queue.share, self._now_ns)
        if pool is not None:
            pool.enter(queue)
            pool.push(queue)
            if pool is not self._open and self._shares.is_fair:
                self._parked_of.setdefault(queue.share, {})[pool] = None

    def _rekey(self, queue: LaneQueue) -> None:
        """The head of a lane changed: it takes its new place, or none while no head is known.

        A parked lane with a better head has its gate asked; one that a gate woke as the best it
        had, and that lost its head, passes the waking on.
        """
        before, aging = queue.key, self._limits.aging
        if aging.is_on:
            change = queue.find_aged_head(aging, self._limits.pauses, self._now_ms)
            if change is not None:
                self._ages.set(queue, self._now_ms + change)
        else:
            queue.find_head()
        key = queue.key
        if key is None:
            self._move(queue, None)
            self._pass_on(queue)
            return
        queue.is_urgent = queue.lane.is_urgent or key[0] <= aging.urgent
        if queue.pool is None:
            self._move(queue, self._open)
            return
        if before is not None and before <= key:
            if queue.woken_by is not None and before != key:
                self._pass_on(queue)
            return
        queue.pool.push(queue)
        if queue.pool.gate is not None:
            self.wake(queue.pool.gate)

    def _pass_on(self, queue: LaneQueue) -> None:
        """What was woken as the best of its gate may not be it any more: wake the next one too."""
        gate = queue.woken_by
        if gate is not None:
            self._woken.note(queue, None)
            self.wake(gate)

    def _account_changed(self, share: Share) -> None:
        self._open.account_changed(share)
        if share not in self._parked_of:
            return
        pools = self._parked_of[share]
        for pool in list(pools):
            if not pool.account_changed(share):
                del pools[pool]
            elif pool.gate is not None:
                self.wake(pool.gate)

    def _note(self, queue: LaneQueue, priority: int) -> None:
        """Note a level that runs short; forget one that is empty, and a lane without levels."""
        level = queue.levels[priority]
        if level.is_short:
            if queue.lane.kind.is_handled:
                self._short[queue, priority] = None
        elif not level.window and level.tail is None:
            del queue.levels[priority]
            if not queue.levels:
                self._leave(queue)
                lane = queue.lane
                self._limits.keep(lane, self._now_ns)
                band = self._limits.band(priority)
                del self._lanes[lane.kind.type, lane.group, band, int(lane.stage)]
                self._urgent.pop(queue, None)

    def _leave(self, queue: LaneQueue) -> None:
        """A lane gives up its place in the account of its group."""
        share = queue.share
        self._woken.note(queue, None)
        share.lanes -= 1
        share.competing -= queue.competes
        queue.competes = False
        if not share.lanes:
            self._parked_of.pop(share, None)
