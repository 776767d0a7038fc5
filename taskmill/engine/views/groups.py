"""How the groups stand at one moment; each is put together when it is looked at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

from taskmill.engine.queue.tally import Place
from taskmill.model.pauses import PauseScope
from taskmill.model.sharing import GroupPolicy
from taskmill.model.snapshot import GroupSnapshot
from taskmill.rules.entitlement import Demand, allocate
from taskmill.rules.limits import Limits


class Groups(Mapping[str | None, GroupSnapshot]):
    """The groups that have tasks or a policy, by name, tasks without a group first.

    It has copies of what may change, so it stays as things stood when it was made. Of a thousand
    groups nobody may look at more than a few: what it takes to show one is left until then.
    """

    def __init__(
        self, limits: Limits, running: Iterable[str | None], waiting: Iterable[Mapping[Place, int]]
    ) -> None:
        self._running = Counter(running)
        self._waiting = tuple(waiting)
        self._policies = limits.groups.copy()
        self._unnamed = limits.policy(None)
        self._default = limits.group_default
        self._slots = limits.all.cap or 0
        self._is_fair = limits.shares.is_fair
        self._paused = {
            pause.name for pause in limits.pauses.held() if pause.scope is PauseScope.GROUP
        }

    def __getitem__(self, name: str | None) -> GroupSnapshot:
        pending = self._pending[name]
        policy = self._policy(name)
        return GroupSnapshot(
            name=name,
            running=self._running[name],
            pending=pending,
            max_concurrency=policy.max_concurrency,
            weight=policy.weight,
            min_slots=policy.min_slots,
            entitled=self._entitled[name] if self._is_fair else None,
            is_paused=name in self._paused,
        )

    def __iter__(self) -> Iterator[str | None]:
        return iter(self._pending)

    def __len__(self) -> int:
        return len(self._pending)

    def __repr__(self) -> str:
        return repr(dict(self))

    @cached_property
    def _pending(self) -> dict[str | None, int]:
        """How many tasks of each group wait to start, in the order of their names."""
        pending = dict.fromkeys([*self._running, *self._policies], 0)
        for counts in self._waiting:
            for (_, group), count in counts.items():
                pending[group] = pending.get(group, 0) + count
        named = sorted(name for name in pending if name is not None)
        return {name: pending[name] for name in ([None] if None in pending else []) + named}

    @cached_property
    def _entitled(self) -> dict[str | None, int]:
        """How many slots each group is entitled to, where shares are on."""
        policies = {name: self._policy(name) for name in self._pending}
        demands = {
            name: Demand(
                tasks=self._running[name] + self._pending[name],
                weight=policy.weight,
                min_slots=policy.min_slots,
                cap=policy.max_concurrency,
            )
            for name, policy in policies.items()
        }
        return allocate(self._slots, demands)

    def _policy(self, name: str | None) -> GroupPolicy:
        return self._unnamed if name is None else self._policies.get(name, self._default)
