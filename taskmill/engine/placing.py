"""On which executor each task type runs, and why."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

import attrs

from taskmill.define.task import Handler
from taskmill.executors.base import Executor
from taskmill.model.errors import ConfigurationError
from taskmill.rules.routing import RouteExplanation, Routing, idle_rules

log = logging.getLogger("taskmill.routing")

INLINE = "inline"
THREAD = "thread"
PROCESS = "process"


@attrs.frozen(kw_only=True)
class TypeRoute:
    """Where the tasks of one type run. ``str()`` says why."""

    type: str
    executor: str
    by: str
    """What decided: ``"its class"``, ``"rule 2, 'ml::*'"``, ``"the default"``, or the kind of its
    handler."""
    fallback: str | None = None
    """Where they run while that executor is down; None: they wait."""

    def __str__(self) -> str:
        text = f"{self.type} runs on {self.executor!r}, by {self.by}"
        return f"{text}; while that is down, on {self.fallback!r}" if self.fallback else text


class Placing:
    """The executors of one scheduler and the rules that choose among them, checked."""

    def __init__(self, executors: Mapping[str, Executor], routing: Routing) -> None:
        self._executors = executors
        self._routing = routing
        for number, rule in enumerate(routing.rules, 1):
            self._check_name(rule.executor, f"rule {number} of the routing, {rule},")
        if routing.default is not None:
            self._check_name(routing.default, "the default of the routing")
        for name, executor in executors.items():
            if executor.fallback is not None:
                self._check_name(executor.fallback, f"the fallback of executor {name!r}")
                self._check_fallbacks(name)

    def place(self, handler: Handler[Any]) -> TypeRoute:
        """Say where a handler runs; ConfigurationError where it could not run there."""
        name = handler.task.task_type
        executor, by = self._choose(handler, name)
        route = TypeRoute(
            type=name, executor=executor, by=by, fallback=self._executors[executor].fallback
        )
        place: str | None = executor
        while place is not None:
            try:
                self._executors[place].check(handler)
            except ConfigurationError as error:
                via = "" if place == executor else f", whose fallback is {place!r}"
                raise ConfigurationError(
                    f"{name!r} is to run on {executor!r}, by {by}{via}: {error}"
                ) from error
            place = self._executors[place].fallback
        return route

    def _choose(self, handler: Handler[Any], name: str) -> tuple[str, str]:
        own = handler.task.task_options.get("executor")
        if own is not None:
            self._check_name(own, f"{handler.task.__qualname__}(executor=...)")
            return own, "its class"
        told: RouteExplanation = self._routing.explain(name)
        if told.rule is not None:
            return told.rule.executor, f"rule {told.number}, {told.rule.pattern!r}"
        if told.executor is not None:
            return told.executor, "the default"
        if handler.is_async:
            return INLINE, "its handler, which is async def"
        return THREAD, "its handler, a plain function"

    def report_idle(self, types: Iterable[str]) -> None:
        """Log the rules that decide for none of these types."""
        for idle in idle_rules(self._routing, sorted(types)):
            log.warning("%s", idle)

    def _check_name(self, name: str, whose: str) -> None:
        if name in self._executors:
            return
        near = get_close_matches(name, self._executors, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigurationError(
            f"{whose} names the executor {name!r}, and there is none; {hint}there are "
            f"{', '.join(map(repr, sorted(self._executors)))}: add it to "
            f"Scheduler(executors={{{name!r}: ...}})"
        )

    def _check_fallbacks(self, name: str) -> None:
        """Refuse fallbacks that lead back to where they began."""
        seen = [name]
        while (fallback := self._executors[seen[-1]].fallback) is not None:
            if fallback in seen:
                circle = " -> ".join(map(repr, [*seen, fallback]))
                raise ConfigurationError(
                    f"the fallbacks of executors go in a circle: {circle}; the last one has none"
                )
            if fallback not in self._executors:
                return  # which is refused on its own
            seen.append(fallback)
