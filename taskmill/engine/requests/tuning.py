"""What people can change of the limits while it runs: caps, rates and the policies of groups."""

from __future__ import annotations

from taskmill.engine.dispatcher import Dispatcher
from taskmill.engine.events.hub import Hub
from taskmill.model.errors import ConfigurationError
from taskmill.model.events import GroupChanged
from taskmill.model.limits import check_cap
from taskmill.model.sharing import GroupPolicy, RateLimit
from taskmill.rules.gates import Slots
from taskmill.rules.limits import Limits


class Tuning:
    """The limits of one scheduler that dispatches; what is set holds until it closes."""

    def __init__(self, *, limits: Limits, dispatcher: Dispatcher, hub: Hub) -> None:
        self._limits = limits
        self._dispatcher = dispatcher
        self._hub = hub

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
