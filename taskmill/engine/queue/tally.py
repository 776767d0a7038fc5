"""How many tasks there are of each domain and group, and how many of them are under a pause."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from taskmill.model.pauses import PauseScope
from taskmill.rules.pauses import Pauses

Place: TypeAlias = tuple[str, str | None]
"""A domain and a group."""


class Tally:
    """Numbers of tasks that are kept as they change, so that nobody has to count."""

    def __init__(self) -> None:
        self.count = 0
        """All of them."""
        self._by_place: dict[Place, int] = {}
        self._by_domain: dict[str, int] = {}

    def change(self, domain: str, group: str | None, by: int) -> None:
        """So many tasks more, or fewer."""
        self.count += by
        self._by_domain[domain] = self._by_domain.get(domain, 0) + by
        place = (domain, group)
        left = self._by_place.get(place, 0) + by
        if left:
            self._by_place[place] = left
        else:
            self._by_place.pop(place, None)

    def of_domain(self, domain: str) -> int:
        """How many of them are of a domain."""
        return self._by_domain.get(domain, 0)

    def places(self) -> Mapping[Place, int]:
        """How many there are in each place now that has some; a copy."""
        return self._by_place.copy()

    def paused(self, pauses: Pauses, domain: str | None = None) -> int:
        """How many of them, of a domain or of all, are under a pause."""
        if not pauses.any_held:
            return 0
        if domain is None:
            return sum(self.paused(pauses, each) for each in self._by_domain)
        if pauses.holds(domain, None):
            return self.of_domain(domain)
        held = (pause.name for pause in pauses.held() if pause.scope is PauseScope.GROUP)
        return sum(self._by_place.get((domain, group), 0) for group in held)
