"""A description becomes a workload, and what is wrong with one is named by its key."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from taskmill.model.errors import ConfigurationError
from taskmill.model.sharing import Aging, GroupPolicy, IoBudget, RateLimit
from taskmill.simulation.description import parse_workload, read_workload
from taskmill.simulation.simulate import simulate
from taskmill.simulation.workload import (
    Arrivals,
    Backlog,
    Clients,
    Constant,
    Exponential,
    GroupPause,
    Spacing,
    Stream,
    TaskType,
    Uniform,
    Workload,
)

EXAMPLES = sorted((Path(__file__).parents[2] / "docs/workloads").glob("*.toml"))
SMALL = """
max_concurrency = 2
[domains.d]
[types.t]
domain = "d"
[groups.g]
[[arrivals]]
type = "t"
backlog = 3
runs = 1
"""
PAUSED_TWICE = """
max_concurrency = 2
pauses = [{group = "g", until = 5}, {group = "g", from = 4, until = 6}]
"""
WHOLE = """
duration = "1.5 min"
max_concurrency = 4
seed = 3
fair = true
preempt_at = "high"
max_preemptions = 1
io_capacity = { read = 1e6 }
aging = { grace = 10, step = "500 ms", ceiling = 64, urgent = "NORMAL" }
group_default = { weight = 2 }

[domains]
d = { max_concurrency = 3 }

[types.t]
domain = "d"
rate = { permits = 5, per = "1 min", burst = 2 }
io = { read = 100, sent = 2.5 }
preemptible = false

[groups.g]
weight = 3
min_slots = 1
max_concurrency = 2
rate = { permits = 1 }

[[pauses]]
group = "g"
from = 5
until = "1 min"
interrupt = false

[[arrivals]]
type = "t"
group = "g"
priority = 7
backlog = 3
at = "2 s"
runs = 1.5

[[arrivals]]
type = "t"
rate = 0.5
spacing = "regular"
from = 1
until = 2
runs_between = [1, "2 s"]

[[arrivals]]
type = "t"
clients = 2
think = "1 h"
runs_about = 3
"""


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def test_every_key_says_what_it_means() -> None:
    assert parse_workload(WHOLE) == Workload(
        duration=seconds(90),
        max_concurrency=4,
        seed=3,
        fair=True,
        preempt_at=64,
        max_preemptions=1,
        io_capacity=IoBudget(read=1e6),
        aging=Aging(grace=seconds(10), step=seconds(0.5), ceiling=64, urgent=128),
        group_default=GroupPolicy(weight=2),
        domains={"d": 3},
        types={
            "t": TaskType(
                domain="d",
                rate=RateLimit(5, per=seconds(60), burst=2),
                io=IoBudget(read=100, sent=2.5),
                preemptible=False,
            )
        },
        groups={"g": GroupPolicy(weight=3, min_slots=1, max_concurrency=2, rate=RateLimit(1))},
        pauses=[GroupPause(group="g", start=seconds(5), until=seconds(60), interrupt=False)],
        arrivals=[
            Arrivals(
                type="t",
                group="g",
                priority=7,
                when=Backlog(count=3, at=seconds(2)),
                runs=Constant(seconds(1.5)),
            ),
            Arrivals(
                type="t",
                when=Stream(rate=0.5, spacing=Spacing.REGULAR, start=seconds(1), until=seconds(2)),
                runs=Uniform(seconds(1), seconds(2)),
            ),
            Arrivals(
                type="t",
                when=Clients(count=2, think=seconds(3600)),
                runs=Exponential(seconds(3)),
            ),
        ],
    )


def test_what_is_left_out_is_as_in_a_scheduler() -> None:
    described = parse_workload(SMALL)
    assert (described.preempt_at, described.max_preemptions) == (0, 3)
    assert (described.fair, described.aging, described.duration) == (None, None, None)
    assert parse_workload("preempt_at = false\n" + SMALL).preempt_at is None
    assert simulate(described).ended == 3


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("max_concurrency = 2", "", "max_concurrency is missing"),
        ("max_concurrency = 2", "max_concurrency = 0", "max_concurrency must be a whole number"),
        ("max_concurrency = 2", "max_concurrency = true", "max_concurrency must be a whole"),
        ("max_concurrency = 2", "max_concurrency = 2\nseeds = 1", "seeds is no known key; there"),
        ("max_concurrency = 2", "max_concurrency = 2\nseed = 1.5", "seed must be a whole number"),
        ("max_concurrency = 2", "max_concurrency = 2\nfair = 1", "fair must be true or false"),
        ("max_concurrency = 2", 'max_concurrency = 2\nduration = "1 fortnight"', "duration must"),
        ("max_concurrency = 2", "max_concurrency = 2\nduration = 0", "duration must be more"),
        ("max_concurrency = 2", "max_concurrency = 2\nduration = inf", "duration must be a num"),
        ("max_concurrency = 2", "max_concurrency = 2\nduration = 1e300", "duration must be at m"),
        ("max_concurrency = 2", "max_concurrency = 2\naging = {step = 0}", "aging: step must be"),
        ("max_concurrency = 2", "max_concurrency = 2\naging = 5", "aging must be a table, not 5"),
        ("[domains.d]", "[domains.e]", "types.t.domain: 'd' is not in [domains], which holds e"),
        ("[domains.d]", "[domains.d]\ncap = 3", "domains.d.cap is no known key"),
        ('domain = "d"', "", "types.t.domain is missing"),
        ('domain = "d"', 'domain = ""', "types.t.domain must be a text"),
        ('domain = "d"', 'domain = "d"\nio = {read = "x"}', "types.t.io.read must be a number"),
        ('domain = "d"', 'domain = "d"\nio = {read = -1}', "types.t.io.read must be a number"),
        ('domain = "d"', 'domain = "d"\nrate = {}', "types.t.rate.permits is missing"),
        ('domain = "d"', 'domain = "d"\nrate = {permits=1, per=0}', "types.t.rate: per must be"),
        ("[groups.g]", "[groups.g]\nweight = 0", "groups.g.weight must be a whole number from 1"),
        ("[groups.g]", "[groups.g]\nweight = 1001", "groups.g.weight must be"),
        ('type = "t"', "", "arrivals[0].type is missing"),
        ('type = "t"', 'type = "u"', "arrivals[0].type: 'u' is not in [types], which holds t"),
        ('type = "t"', 'type = "t"\ngroup = "x"', "arrivals[0].group: 'x' is not in [groups]"),
        ('type = "t"', 'type = "t"\npriority = 256', "arrivals[0].priority must be a whole"),
        ('type = "t"', 'type = "t"\npriority = "LOW"', "arrivals[0].priority must be a number"),
        ('type = "t"', 'type = "t"\nrate = 1', "arrivals[0]: give one of backlog"),
        ("backlog = 3", "", "arrivals[0]: give one of backlog"),
        ("backlog = 3", "rate = 1", "arrivals[0].until is missing"),
        ("backlog = 3", "clients = 1", "arrivals[0].until is missing"),
        ("backlog = 3", "rate = 0\nuntil = 1", "arrivals[0]: rate is tasks per second"),
        ("backlog = 3", "rate = 1\nfrom = 2\nuntil = 1", "arrivals[0]: until=0:00:01 is not"),
        ("backlog = 3", 'rate = 1\nuntil = 1\nspacing = "x"', "arrivals[0].spacing must be one"),
        ("backlog = 3", "rate = 1e9\nuntil = 1", "arrivals: these are about 1,000,000,000 tasks"),
        ("backlog = 3", "rate = 1\nuntil = 1\nat = 1", "arrivals[0].at is no known key"),
        ("runs = 1", "", "arrivals[0]: give one of runs"),
        ("runs = 1", "runs = 0", "arrivals[0]: a constant run time must be more than zero"),
        ("runs = 1", "runs_between = [1]", "arrivals[0]: runs_between is a list of two times"),
        ("runs = 1", "runs_between = [2, 1]", "arrivals[0]: the shortest run time 0:00:02 is"),
        ("runs = 1", "runs_between = 1", "arrivals[0].runs_between must be a list of times"),
        ("runs = 1", "runs = 1\n[[pauses]]", "pauses[0].group is missing"),
        ("runs = 1", 'runs = 1\n[[pauses]]\ngroup = "g"', "pauses[0].until is missing"),
        (
            "max_concurrency = 2",
            PAUSED_TWICE,
            "pauses[1]: group 'g' is paused already",
        ),
        ("[[arrivals]]", "[arrivals]", "arrivals must be an array of tables: [[arrivals]]"),
        ("[[arrivals]]", "[[arrival]]", "arrival is no known key"),
        ("[[arrivals]]", "[[arrivals", "this is no TOML"),
    ],
)
def test_what_is_wrong_is_named_by_its_key(old: str, new: str, named: str) -> None:
    assert SMALL.count(old) == 1
    with pytest.raises(ConfigurationError) as error:
        parse_workload(SMALL.replace(old, new))
    assert str(error.value).startswith(named)


def test_a_file_is_named_with_what_is_wrong_with_it(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    for content, message in (
        (b"\xff", "no UTF-8"),
        (b"max_concurrency = 0", "max"),
        (b"[", "no TOML"),
    ):
        wrong.write_bytes(content)
        with pytest.raises(ConfigurationError, match=message) as error:
            read_workload(wrong)
        assert str(error.value).startswith(f"{wrong}: ")
    with pytest.raises(ConfigurationError, match=r"nothing\.toml: No such file"):
        read_workload(tmp_path / "nothing.toml")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_can_be_played(path: Path) -> None:
    outcome = simulate(read_workload(path))
    assert outcome.ended > 0
    assert outcome.utilisation > 0.9


def test_there_are_examples() -> None:
    assert EXAMPLES
