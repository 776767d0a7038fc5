"""Whether what a scheduler is given to work with is what it has to be."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import TypeVar, cast

from taskmill.engine.placing import INLINE, PROCESS, THREAD
from taskmill.engine.registry import Registry
from taskmill.executors.base import Executor
from taskmill.executors.inline import InlineExecutor
from taskmill.executors.process import ProcessExecutor
from taskmill.executors.thread import ThreadExecutor
from taskmill.model.errors import ConfigurationError
from taskmill.model.limits import (
    MAX_LENGTH,
    check_cap,
    check_text,
    check_whole,
    checked_items,
    is_whole,
)
from taskmill.model.options import TaskOptions, check_options
from taskmill.model.policies import Drain, RetryPolicy, Shutdown, Stop
from taskmill.model.resources import PressureSource
from taskmill.model.sharing import GroupPolicy, RateLimit
from taskmill.model.showing import shown
from taskmill.rules.routing import Routing
from taskmill.store.base import VERBS, Store
from taskmill.store.sqlite import SqliteStore
from taskmill.store.sqlite.store import Durability

T = TypeVar("T")

SHORTEST_POLL = timedelta(milliseconds=10)

SHORTEST_LIMIT = timedelta(milliseconds=20)
"""Python itself keeps a thread waiting for 5 ms and more while others compute."""


def check_part(part: object, name: str, verbs: Iterable[str]) -> None:
    """Raise ConfigurationError for what cannot do what the engine asks of it; None is fine."""
    if isinstance(part, type):
        raise ConfigurationError(f"{name} is the class {part.__name__}; pass an instance of it")
    for verb in verbs:
        if part is not None and not callable(getattr(part, verb, None)):
            raise ConfigurationError(f"{shown(part)} is no {name}: it has no {verb}()")


def check_ports(clock: object, rng: object, tracing: object) -> None:
    """Raise ConfigurationError for one that lacks what is asked of it; None is fine."""
    check_part(clock, "clock", ("now", "monotonic", "hold"))
    check_part(rng, "rng", ("random",))
    check_part(tracing, "tracing", ("sending", "processing"))


def check_preemption(preempt_at: object, max_preemptions: object) -> None:
    """Raise ConfigurationError for what is no priority, or no number of preemptions."""
    if preempt_at is not None:
        check_whole(preempt_at, 0, 255, "preempt_at")
    check_whole(max_preemptions, 0, 1_000_000, "max_preemptions")


def check_slots(slots: object) -> None:
    """Raise ConfigurationError for what is no number of slots."""
    if not (is_whole(slots) and slots >= 1):
        raise ConfigurationError(
            "the scheduler's max_concurrency, the number of its slots, must be 1 or more, as a "
            f"whole number; give a large one to leave it to other caps; got {shown(slots)}"
        )


def checked_loop_limit(limit: object) -> timedelta | None:
    """Return ``limit`` if the event loop can be watched by it; None is for not at all."""
    if limit is None or (isinstance(limit, timedelta) and SHORTEST_LIMIT <= limit <= MAX_LENGTH):
        return limit
    raise ConfigurationError(
        f"loop_limit must be a timedelta of {SHORTEST_LIMIT // timedelta(milliseconds=1)} "
        "milliseconds or more, such as timedelta(seconds=0.5), or None to leave the event loop "
        f"unwatched; not {shown(limit)}"
    )


def checked_role(store: Store, *, dispatch: object, standby: object) -> bool:
    """Whether a scheduler is to dispatch; ConfigurationError for a role that cannot be."""
    for name, value in (("dispatch", dispatch), ("standby", standby)):
        if not isinstance(value, bool):
            raise ConfigurationError(f"{name} is True or False, not {shown(value)}")
    if standby and not dispatch:
        raise ConfigurationError(
            "standby=True waits to dispatch, and dispatch=False never does; choose one"
        )
    if not dispatch and store.home() is None:
        raise ConfigurationError(
            "dispatch=False is for a database file that another process dispatches from, and "
            f"{store!r} is in memory"
        )
    return bool(dispatch)


def checked_interval(interval: object) -> timedelta:
    """Return ``interval`` if the file can be looked at that often."""
    if isinstance(interval, timedelta) and SHORTEST_POLL <= interval <= MAX_LENGTH:
        return interval
    raise ConfigurationError(
        "poll_interval must be a timedelta of 10 milliseconds or more, such as "
        f"timedelta(seconds=0.5), not {shown(interval)}"
    )


def checked_mode(mode: object, what: str) -> Shutdown:
    """Return ``mode`` if it is a way to shut down."""
    if isinstance(mode, Drain | Stop):
        return mode
    raise ConfigurationError(
        f"{what} takes Drain(timedelta(seconds=30)) or Stop(), not {shown(mode)}"
    )


def checked_policy(policy: object, what: str) -> GroupPolicy:
    """Return ``policy`` if it is one of a group."""
    if isinstance(policy, GroupPolicy):
        return policy
    raise ConfigurationError(
        f"{what} must be a GroupPolicy, such as GroupPolicy(max_concurrency=4), not {shown(policy)}"
    )


def groups_of(groups: object) -> dict[str, GroupPolicy]:
    """The policies of groups, by their names."""
    given = _mapping(groups, "groups", "{'s3': GroupPolicy(max_concurrency=4)}")
    for name in given:
        check_text(name, "a group's name")
    return {name: checked_policy(policy, f"groups[{name!r}]") for name, policy in given.items()}


def store_of(
    path: str | os.PathLike[str] | None, store: Store | None, durability: Durability | None
) -> Store:
    """The store that was given, or one in the file that was named."""
    if (path is None) == (store is None):
        raise ConfigurationError(
            "give Scheduler a path, such as 'app.db' or ':memory:', or store=..., and not both"
        )
    if store is None:
        return SqliteStore(path or "", durability=durability or "power")
    check_part(store, "store", VERBS)
    if durability is not None:
        raise ConfigurationError(
            "durability is the store's own: give it to the store, as in "
            f"store=SqliteStore(..., durability={durability!r})"
        )
    return store


def executors_of(executors: object) -> dict[str, Executor]:
    """The executors that are built in, in their places those that were given, and the others."""
    built_in: dict[str, Executor] = {
        INLINE: InlineExecutor(),
        THREAD: ThreadExecutor(),
        PROCESS: ProcessExecutor(),
    }
    given = _mapping(executors, "executors", "{'gpu': ProcessExecutor(2)}")
    for name in given:
        check_text(name, "an executor's name")
    return {**built_in, **{name: _executor(given[name], name) for name in given}}


def defaults_of(retry: RetryPolicy | None, ttl: timedelta | None) -> TaskOptions:
    """The options that a scheduler gives to all tasks, as far as it was given any."""
    defaults: TaskOptions = {}
    if retry is not None:
        defaults["retry"] = retry
    if ttl is not None:
        defaults["ttl"] = ttl
    check_options(defaults, TaskOptions.__annotations__, "the scheduler")
    return defaults


def routing_of(routing: object) -> Routing:
    """The rules by which executors are chosen, as they stay from now on."""
    found = checked(routing, Routing, "routing", "Routing(rules=[Route('ml::*', 'gpu')])")
    found = Routing() if found is None else found
    found.seal()
    return found


def rates_of(rates: object, registry: Registry) -> dict[str, RateLimit]:
    """The rates of task types, by their stored names."""
    example = "RateLimit(100, per=timedelta(seconds=1))"
    return {
        registry.type_of(task): required(rate, RateLimit, f"rates[{shown(task, 60)}]", example)
        for task, rate in _mapping(rates, "rates", f"{{Fetch: {example}}}").items()
    }


def sources_of(sources: Iterable[PressureSource]) -> tuple[PressureSource, ...]:
    """The pressure sources; each has a name and can be asked for its pressure."""
    found = tuple(checked_items(sources, "pressure", "[MyPressure()]"))
    for source in found:
        check_part(source, "a pressure source", ["pressure"])
        check_text(getattr(source, "name", None), f"the name of {shown(source, 60)}")
    return found


def checked(value: object, of: type[T], what: str, example: str) -> T | None:
    """Return ``value`` if it is one of these, or None."""
    return None if value is None else required(value, of, what, example)


def required(value: object, of: type[T], what: str, example: str) -> T:
    """Return ``value`` if it is one of these."""
    if isinstance(value, of):
        return value
    raise ConfigurationError(f"{what} must be as {example}, not {shown(value)}")


def _executor(executor: object, name: str) -> Executor:
    verbs = ("check", "start", "run", "stop")
    if isinstance(executor, type) or not all(
        callable(getattr(executor, verb, None)) for verb in verbs
    ):
        raise ConfigurationError(
            f"executors[{name!r}] must be an executor, such as ThreadExecutor(capacity=4), "
            f"not {shown(executor)}"
        )
    check_cap(getattr(executor, "capacity", None), f"executors[{name!r}].capacity")
    if getattr(executor, "fallback", None) is not None:
        check_text(getattr(executor, "fallback", None), f"executors[{name!r}].fallback")
    return cast("Executor", executor)  # it has what an executor has


def _mapping(given: object, what: str, example: str) -> Mapping[str, object]:
    if isinstance(given, Mapping):
        return cast("Mapping[str, object]", given)  # the keys are looked at next
    raise ConfigurationError(f"{what} must be a mapping, such as {example}, not {shown(given)}")
