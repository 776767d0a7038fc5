"""What people change while it runs: pauses, caps, rates and the policies of groups."""

from __future__ import annotations

from datetime import datetime

from taskmill.engine.clock import Alarm, Clock
from taskmill.engine.dispatcher import Dispatcher
from taskmill.engine.hub import Hub
from taskmill.engine.running import Running
from taskmill.engine.writer import Writer
from taskmill.model.changes import Pause, Resume, StopCause
from taskmill.model.effects import Effect
from taskmill.model.errors import ConfigurationError, StoreError
from taskmill.model.events import GroupChanged, Paused, Resumed
from taskmill.model.limits import check_cap
from taskmill.model.pauses import PauseRecord, PauseScope
from taskmill.model.record import TaskRecord
from taskmill.model.sharing import GroupPolicy, RateLimit
from taskmill.model.times import from_ms, to_ms
from taskmill.rules.gates import Gate, Slots
from taskmill.rules.limits import Limits


class Steering:
    """The controls of one open scheduler. Pauses are durable, the rest holds until it closes."""

    def __init__(
        self,
        *,
        limits: Limits,
        writer: Writer,
        dispatcher: Dispatcher,
        running: Running,
        hub: Hub,
        clock: Clock,
    ) -> None:
        self._limits = limits
        self._writer = writer
        self._dispatcher = dispatcher
        self._running = running
        self._hub = hub
        self._clock = clock
        self.alarm = Alarm(ring=self._resume_due, now=lambda: clock.now().timestamp())

    def load(self) -> None:
        """The store was opened: pauses that end by themselves are watched."""
        self._set_alarm()

    # --- pauses ---

    async def pause(
        self, scope: PauseScope, name: str, *, interrupt: bool, until: datetime | None = None
    ) -> None:
        """Hold a scope; returns once that is durable. What runs is told to stop."""
        if until is not None and until.tzinfo is None:
            raise ConfigurationError(
                f"until={until!r} has no time zone; use an aware datetime such as "
                "datetime.now(timezone.utc)"
            )
        change = Pause(
            scope=scope,
            name=name,
            now_ms=to_ms(self._clock.now()),
            until_ms=None if until is None else to_ms(until),
        )

        def note(effect: Effect) -> None:
            if isinstance(effect, PauseRecord):
                self._paused(effect, interrupt=interrupt)

        await self._writer.apply(change, note)

    async def resume(self, scope: PauseScope, name: str) -> None:
        """Hold a scope no longer; one that is not held stays as it is."""
        change = Resume(scope=scope, name=name, now_ms=to_ms(self._clock.now()))
        await self._writer.apply(change, self._resumed)

    def paused_groups(self) -> dict[str, datetime | None]:
        """The groups that are paused, and when they resume by themselves."""
        return {
            record.name: from_ms(record.until_ms)
            for record in self._limits.pauses.held()
            if record.scope is PauseScope.GROUP
        }

    def _paused(self, record: PauseRecord, *, interrupt: bool) -> None:
        self._limits.pauses.hold(record)
        self._hub.publish(
            lambda: Paused(scope=record.scope, name=record.name, until=from_ms(record.until_ms))
        )
        if interrupt:
            self._running.stop_where(lambda task: _is_held(task, record), StopCause.PAUSED)
        self._set_alarm()

    def _resumed(self, effect: Effect | StoreError) -> None:
        if isinstance(effect, PauseRecord):
            self._limits.pauses.end(effect.scope, effect.name, effect.ended_ms or effect.since_ms)
            self._hub.publish(lambda: Resumed(scope=effect.scope, name=effect.name))
            self._dispatcher.opened(self._gates_of(effect))
        self._set_alarm()

    def _gates_of(self, record: PauseRecord) -> list[Gate]:
        match record.scope:
            case PauseScope.SCHEDULER:
                return []
            case PauseScope.DOMAIN:
                return [self._limits.domain_pause(record.name)]
            case PauseScope.GROUP:
                return [self._limits.group_gates(record.name).pause]

    def _resume_due(self) -> None:
        """End the pauses whose deadline has come."""
        now_ms = to_ms(self._clock.now())
        for record in self._limits.pauses.due(now_ms):
            resume = Resume(scope=record.scope, name=record.name, now_ms=now_ms, due_by_ms=now_ms)
            self._writer.send(resume, self._resumed)

    def _set_alarm(self) -> None:
        end = self._limits.pauses.next_end()
        self.alarm.set(None if end is None else from_ms(end).timestamp())

    # --- limits ---

    def is_paused(self, scope: PauseScope, name: str) -> bool:
        """Whether a scope itself is paused."""
        return self._limits.pauses.is_held(scope, name)

    def domain_cap(self, domain: str) -> int | None:
        """How many tasks of a domain may run at once."""
        return self._limits.domains[domain].cap

    def set_domain_cap(self, domain: str, cap: int | None) -> None:
        """Another cap of a domain holds from the next decision on."""
        check_cap(cap, f"domain {domain!r}: max_concurrency")
        self.set_cap(self._limits.domains[domain], cap)

    def set_cap(self, slots: Slots, cap: int | None) -> None:
        """Another cap holds from the next decision on."""
        self._dispatcher.opened(self._limits.set_cap(slots, cap))

    def set_rate(self, task_type: str, limit: RateLimit | None) -> None:
        """Another rate of a type holds from the next decision on."""
        if task_type not in self._limits.rates:
            raise ConfigurationError(f"no domain here has task type {task_type!r}")
        gates = self._limits.set_rate(task_type, limit, self._dispatcher.now_ns())
        self._dispatcher.opened(gates)

    def set_group(self, group: str, policy: GroupPolicy) -> None:
        """Another policy of a group holds from the next decision on."""
        before = self._limits.policy(group)
        gates = self._limits.set_group(group, policy, self._dispatcher.now_ns())
        if (before.weight, before.min_slots) != (policy.weight, policy.min_slots):
            self._dispatcher.regroup()
        self._dispatcher.opened(gates)
        self._hub.publish(lambda: GroupChanged(group=group, before=before, after=policy))


def _is_held(task: TaskRecord, record: PauseRecord) -> bool:
    match record.scope:
        case PauseScope.SCHEDULER:
            return True
        case PauseScope.DOMAIN:
            return task.domain == record.name
        case PauseScope.GROUP:
            return task.group == record.name
