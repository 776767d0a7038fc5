"""What Prometheus is given: the text of the real library, read back by its own parser."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from taskmill import ConfigurationError, Priority, Scheduler
from taskmill.metrics import FAMILIES, register
from tests.engine.app import App, Board, Errand, Fail, Nap, domains, open_app

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
TYPES = {("work", "work::nap"), ("work", "work::fail"), ("other", "other::errand")}
ALLOWED = {
    "domain": {domain for domain, _ in TYPES},
    "type": {name for _, name in TYPES},
    "executor": {"inline", "thread", "process"},
}


@asynccontextmanager
async def busy_app() -> AsyncGenerator[App]:
    """An application that has seen failures, retries, a cancellation and a preemption."""
    async with open_app(max_concurrency=1) as app:
        await app.work.submit(Nap(name="a", seconds=10), group="tenant 7", key="secret key")
        await anyio.sleep(1)
        await app.other.submit(Errand(number=1), priority=Priority.REALTIME, tags={"who": "ann"})
        cancelled = await app.work.submit(Nap(name="b", seconds=1))
        await app.work.cancel(cancelled.id)
        await app.work.submit(Fail(name="f", times=1))
        await app.work.submit(Fail(name="g", permanent=True))
        await app.scheduler.idle()
        await app.work.pause()
        await app.work.submit(Nap(name="held"), group="tenant 8")
        await app.work.submit(Nap(name="held too"))
        await anyio.sleep(3)
        yield app


def samples(registry: CollectorRegistry) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text = generate_latest(registry).decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_a_busy_run_is_told_in_full() -> None:
    registry = CollectorRegistry()
    async with busy_app() as app:
        register(app.scheduler, registry=registry)
        found = samples(registry)

    def value(name: str, **labels: str) -> float:
        return found[name, frozenset(labels.items())]

    nap = {"domain": "work", "type": "work::nap"}
    fail = {"domain": "work", "type": "work::fail"}
    errand = {"domain": "other", "type": "other::errand"}
    assert value("taskmill_submitted_tasks_total", **nap, outcome="inserted") == 4
    assert value("taskmill_started_runs_total", **nap) == 2
    assert value("taskmill_ended_tasks_total", **nap, outcome="cancelled") == 1
    assert value("taskmill_ended_tasks_total", **fail, outcome="completed") == 1
    assert value("taskmill_ended_tasks_total", **fail, outcome="failed") == 1
    assert value("taskmill_ended_tasks_total", **errand, outcome="completed") == 1
    assert value("taskmill_retried_attempts_total", **fail) == 1
    assert value("taskmill_preempted_runs_total", **nap) == 1
    assert value("taskmill_run_duration_seconds_bucket", **nap, le="1.0") == 1
    assert value("taskmill_run_duration_seconds_bucket", **nap, le="+Inf") == 2
    assert value("taskmill_run_duration_seconds_sum", **nap) == 11
    assert value("taskmill_ready_tasks", **nap, status="paused") == 2
    assert value("taskmill_oldest_ready_age_seconds", **nap, status="paused") == 3
    assert value("taskmill_max_concurrency") == 1
    assert value("taskmill_executor_busy_seconds_total", executor="inline") == 11
    assert value("taskmill_held_total", gate="global") > 0
    assert value("taskmill_commit_changes_count") > 0


async def test_labels_are_bounded_and_tell_nothing_of_single_tasks() -> None:
    registry = CollectorRegistry()
    async with busy_app() as app:
        register(app.scheduler, registry=registry)
        text = generate_latest(registry).decode()
    for family in text_string_to_metric_families(text):
        declared = next(
            each for each in FAMILIES if each.name.removesuffix("_total") in family.name
        )
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(declared.labels)
            for name, values in ALLOWED.items():
                assert sample.labels.get(name) in values | {None}
    for word in ("tenant", "secret", "ann"):
        assert word not in text


async def test_every_family_is_named_as_prometheus_wants_it() -> None:
    registry = CollectorRegistry()
    async with busy_app() as app:
        register(app.scheduler, registry=registry)
        families = list(text_string_to_metric_families(generate_latest(registry).decode()))
        openmetrics = generate_openmetrics(registry)  # type: ignore[no-untyped-call]
        strictly = list(read_openmetrics(openmetrics.decode()))  # type: ignore[no-untyped-call]
    assert {f"{f.name}_total" if f.type == "counter" else f.name for f in strictly} == {
        each.name for each in FAMILIES
    }
    for each in FAMILIES:
        assert re.fullmatch(r"taskmill_[a-z_]+", each.name)
        assert each.name.endswith("_total") == (each.kind == "counter")
    assert {family.documentation for family in families} == {each.meaning for each in FAMILIES}


async def test_several_schedulers_are_told_apart_by_a_label() -> None:
    registry = CollectorRegistry()
    one, two = (Scheduler(":memory:", domains=domains(Board())) for _ in range(2))
    register({"one": one, "two": two}, registry=registry)
    async with one:
        await one.submit(Nap(name="a"))
        await one.idle()
        found = samples(registry)
    nap = {"domain": "work", "type": "work::nap"}
    started = "taskmill_started_runs_total"
    assert found[started, frozenset({"scheduler": "one", **nap}.items())] == 1
    assert found[started, frozenset({"scheduler": "two", **nap}.items())] == 0


async def test_a_closed_scheduler_tells_what_it_counted_and_no_gauge() -> None:
    registry = CollectorRegistry()
    async with open_app() as app:
        register(app.scheduler, registry=registry)
        await app.work.submit(Nap(name="a"))
        await app.scheduler.idle()
    found = {name for name, _ in samples(registry)}
    assert "taskmill_started_runs_total" in found
    assert not found & {each.name for each in FAMILIES if each.kind == "gauge"}


async def test_a_second_registration_is_refused_and_says_what_to_do() -> None:
    registry = CollectorRegistry()
    scheduler = Scheduler(":memory:", domains=domains(Board()))
    collector = register(scheduler, registry=registry)
    with pytest.raises(ConfigurationError, match="all of them in one call"):
        register(scheduler, registry=registry)
    registry.unregister(collector)
    register(scheduler, registry=registry)


def test_what_is_no_scheduler_is_refused() -> None:
    wrong: Any = {"one": "scheduler"}
    with pytest.raises(ConfigurationError, match="not 'scheduler' for 'one'"):
        register(wrong, registry=CollectorRegistry())


async def test_counters_never_fall() -> None:
    registry = CollectorRegistry()
    before: dict[Any, float] = {}
    counters = tuple(each.name for each in FAMILIES if each.kind != "gauge")
    async with open_app(max_concurrency=2) as app:
        register(app.scheduler, registry=registry)
        for i in range(20):
            await app.work.submit(Nap(name=f"n{i % 5}", seconds=i % 3))
            await app.work.submit(Fail(name=f"f{i}", times=1))
            await anyio.sleep(0.7)
            now = {k: v for k, v in samples(registry).items() if k[0].startswith(counters)}
            assert [key for key, value in before.items() if now[key] < value] == []
            before = now


@pytest.mark.parametrize(
    ("module", "library", "extra"),
    [("metrics", "prometheus_client", "metrics"), ("otel", "opentelemetry", "otel")],
)
def test_without_its_library_a_module_says_which_extra_has_it(
    module: str, library: str, extra: str
) -> None:
    code = f"import sys; sys.modules[{library!r}] = None; import taskmill.{module}"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert f"pip install 'taskmill[{extra}]'" in run.stderr
    assert "MissingExtra" in run.stderr


def test_the_page_lists_what_is_exported() -> None:
    page = (ROOT / "docs/metrics.md").read_text()
    rows = re.findall(r"^\| `(taskmill_\w+)` \| (\w+) \| (.*?) \| (.*?) \|$", page, re.MULTILINE)
    assert rows == [
        (each.name, each.kind, ", ".join(f"`{name}`" for name in each.labels), each.meaning)
        for each in FAMILIES
    ]
