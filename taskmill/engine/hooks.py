"""What domains do when the scheduler has opened, and before it closes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import anyio

from taskmill.define.domain import Domain
from taskmill.define.task import DomainKey
from taskmill.model.errors import SchedulerFailed
from taskmill.model.showing import shown

if TYPE_CHECKING:
    from taskmill.handle import DomainHandle

log = logging.getLogger("taskmill.engine")

STOP_SECONDS = 30.0
"""How long an ``on_stop`` may take before it is cancelled."""


class Hooks:
    """Runs ``on_start`` in the order of the domains, ``on_stop`` of those started in reverse."""

    def __init__(
        self,
        domains: Iterable[Domain[Any]],
        handle: Callable[[type[DomainKey]], DomainHandle[Any]],
    ) -> None:
        self._domains = tuple(domains)
        self._handle = handle
        self._started: list[Domain[Any]] = []

    async def start(self) -> None:
        """SchedulerFailed, with its cause, where one raises: nothing runs then."""
        for domain in self._domains:
            if domain.on_start is not None:
                try:
                    await domain.on_start(self._handle(domain.key))
                except Exception as error:
                    raise SchedulerFailed(
                        f"on_start of domain {domain.name!r} failed: {shown(error, 300)}"
                    ) from error
            self._started.append(domain)

    async def stop(self) -> None:
        """What one raises is logged, and keeps nobody from stopping."""
        while self._started:
            domain = self._started.pop()
            if domain.on_stop is None:
                continue
            try:
                with anyio.fail_after(STOP_SECONDS):
                    await domain.on_stop(self._handle(domain.key))
            except Exception:
                log.exception("on_stop of domain %r failed", domain.name)
