"""How a workload is described: a TOML file becomes a `Workload`, or an error that names the key."""

from __future__ import annotations

import tomllib
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

from taskmill.model.errors import ConfigurationError
from taskmill.model.policies import Priority
from taskmill.model.sharing import AXES, MAX_WEIGHT, Aging, GroupPolicy, IoBudget, RateLimit
from taskmill.simulation.section import Section
from taskmill.simulation.workload import (
    MAX_SLOTS,
    MAX_TASKS,
    NOTHING,
    Arrivals,
    Backlog,
    Clients,
    Constant,
    Exponential,
    GroupPause,
    RunTime,
    Spacing,
    Stream,
    TaskType,
    Uniform,
    Workload,
)

T = TypeVar("T")


def read_workload(path: str | Path) -> Workload:
    """Read the workload in a TOML file; raise ConfigurationError for what is wrong with it."""
    try:
        return parse_workload(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: this is no UTF-8 text: {error}") from error
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from error


def parse_workload(text: str) -> Workload:
    """The workload that a TOML text describes."""
    try:
        top = Section(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigurationError(f"this is no TOML: {error}") from error
    default = top.section("group_default")
    workload = partial(  # made below: a word that is misspelt is to be named first
        Workload,
        max_concurrency=_needed(top.whole("max_concurrency", 1, MAX_SLOTS), top, "max_concurrency"),
        types={name: _type(section) for name, section in top.named("types").items()},
        domains={name: _domain(section) for name, section in top.named("domains").items()},
        arrivals=[_arrivals(section) for section in top.listed("arrivals")],
        duration=top.length("duration"),
        seed=_or(top.whole("seed", 0, 2**63 - 1), 0),
        groups={name: _group(section) for name, section in top.named("groups").items()},
        group_default=None if default is None else _group(default),
        pauses=[_pause(section) for section in top.listed("pauses")],
        fair=top.flag("fair"),
        aging=_aging(top.section("aging")),
        preempt_at=_preempt_at(top),
        max_preemptions=_or(top.whole("max_preemptions", 0, 1_000_000), 3),
        io_capacity=_io(top.section("io_capacity")),
    )
    top.end()
    return workload()


def _preempt_at(top: Section) -> int | None:
    if top.is_off("preempt_at"):
        return None
    return _or(top.priority("preempt_at"), int(Priority.REALTIME))


def _domain(section: Section) -> int | None:
    cap = section.whole("max_concurrency", 1, MAX_SLOTS)
    section.end()
    return cap


def _type(section: Section) -> TaskType:
    domain = _needed(section.text("domain"), section, "domain")
    rate, io = _rate(section.section("rate")), _io(section.section("io"))
    preemptible = _or(section.flag("preemptible"), True)  # noqa: FBT003 - a default
    section.end()
    return TaskType(domain=domain, rate=rate, io=io, preemptible=preemptible)


def _group(section: Section) -> GroupPolicy:
    policy = GroupPolicy(
        max_concurrency=section.whole("max_concurrency", 1, MAX_SLOTS),
        rate=_rate(section.section("rate")),
        weight=_or(section.whole("weight", 1, MAX_WEIGHT), 1),
        min_slots=_or(section.whole("min_slots", 0, MAX_SLOTS), 0),
    )
    section.end()
    return policy


def _rate(section: Section | None) -> RateLimit | None:
    if section is None:
        return None
    permits = _needed(section.whole("permits", 1, 10**9), section, "permits")
    per = _or(section.length("per"), timedelta(seconds=1))
    burst = _or(section.whole("burst", 1, 10**9), permits)
    section.end()
    with section.blame():
        return RateLimit(permits, per=per, burst=burst)


def _io(section: Section | None) -> IoBudget | None:
    if section is None:
        return None
    budget = IoBudget(**{axis: _or(section.number(axis), 0.0) for axis in AXES})
    section.end()
    return budget


def _aging(section: Section | None) -> Aging | None:
    if section is None:
        return None
    default = Aging()
    grace, step = section.length("grace"), section.length("step")
    ceiling, urgent = section.priority("ceiling"), section.priority("urgent")
    section.end()
    with section.blame():
        return Aging(
            grace=_or(grace, default.grace),
            step=_or(step, default.step),
            ceiling=_or(ceiling, default.ceiling),
            urgent=urgent,
        )


def _pause(section: Section) -> GroupPause:
    group = _needed(section.text("group"), section, "group")
    start, until = _or(section.length("from"), NOTHING), section.length("until")
    interrupt = _or(section.flag("interrupt"), True)  # noqa: FBT003 - a default
    section.end()
    with section.blame():
        return GroupPause(group=group, start=start, until=until, interrupt=interrupt)


def _arrivals(section: Section) -> Arrivals:
    type_ = _needed(section.text("type"), section, "type")
    with section.blame():
        when, runs = _when(section), _runs(section)
    group, priority = section.text("group"), section.priority("priority")
    section.end()
    return Arrivals(
        type=type_,
        when=when,
        runs=runs,
        group=group,
        priority=_or(priority, int(Priority.NORMAL)),
    )


def _when(section: Section) -> Backlog | Stream | Clients:
    kinds = [kind for kind in ("backlog", "rate", "clients") if section.has(kind)]
    if len(kinds) != 1:
        raise ConfigurationError(
            "give one of backlog (tasks at once), rate (tasks per second) and clients (each with "
            f"one task at a time), not {' and '.join(kinds) or 'none'}"
        )
    if kinds == ["backlog"]:
        count = _needed(section.whole("backlog", 1, MAX_TASKS), section, "backlog")
        return Backlog(count=count, at=_or(section.length("at"), NOTHING))
    start, until = _or(section.length("from"), NOTHING), section.length("until")
    if kinds == ["clients"]:
        count = _needed(section.whole("clients", 1, MAX_TASKS), section, "clients")
        think = _or(section.length("think"), NOTHING)
        return Clients(count=count, think=think, start=start, until=until)
    rate = _needed(section.number("rate"), section, "rate")
    spacing = _or(section.choice("spacing", list(Spacing)), Spacing.POISSON)
    return Stream(rate=rate, spacing=Spacing(spacing), start=start, until=until)


def _runs(section: Section) -> RunTime:
    """One of three keys: a time, the two ends of a range, or a mean."""
    ways = [way for way in ("runs", "runs_between", "runs_about") if section.has(way)]
    if len(ways) != 1:
        raise ConfigurationError(
            "give one of runs (always this time), runs_between (a list of two times) and "
            f"runs_about (a mean, exponentially distributed), not {' and '.join(ways) or 'none'}"
        )
    if ways == ["runs"]:
        return Constant(_needed(section.length("runs"), section, "runs"))
    if ways == ["runs_about"]:
        return Exponential(_needed(section.length("runs_about"), section, "runs_about"))
    ends = _needed(section.lengths("runs_between"), section, "runs_between")
    if len(ends) != 2:
        raise ConfigurationError(f"runs_between is a list of two times, not of {len(ends)}")
    return Uniform(*ends)


def _needed(value: T | None, section: Section, key: str) -> T:
    if value is None:
        raise ConfigurationError(f"{section.path(key)} is missing")
    return value


def _or(value: T | None, default: T) -> T:
    return default if value is None else value
