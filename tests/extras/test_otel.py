"""Spans and measurements of OpenTelemetry, made by its real SDK and kept in memory."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, format_span_id, format_trace_id
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from taskmill import (
    ConfigurationError,
    Context,
    Domain,
    DomainKey,
    Every,
    Handler,
    Priority,
    ProcessExecutor,
    RetryPolicy,
    Scheduler,
    SubmitOutcome,
    Task,
    TaskRecord,
    TaskStatus,
)
from taskmill.otel import OpenTelemetry, submitted_in
from taskmill.rules.options import carried
from taskmill.testing import virtual_time
from tests.extras import plant

pytestmark = pytest.mark.anyio

QUICK = RetryPolicy(max_retries=2, base=timedelta(seconds=1))


class Shop(DomainKey, name="shop"): ...


class Order(Task[Shop], name="order"):
    """Fails once, then sends a letter."""

    number: int = 0


class Letter(Task[Shop], name="letter"):
    number: int = 0


class Press(Task[Shop], name="press"):
    """Runs in a thread."""

    spawns: bool = False


class Long(Task[Shop], name="long"): ...


class Lab:
    """The SDK, and what it was given."""

    def __init__(self) -> None:
        self.spans = InMemorySpanExporter()
        self.reader = InMemoryMetricReader()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.spans))
        self.tracer = self.provider.get_tracer("tests")
        self.meters = MeterProvider([self.reader])

    def tracing(self, **options: Any) -> OpenTelemetry:
        return OpenTelemetry(tracer_provider=self.provider, meter_provider=self.meters, **options)

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans.get_finished_spans() if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        [span] = self.named(name)
        return span

    def points(self, name: str) -> Sequence[Any]:
        data = self.reader.get_metrics_data()
        assert data is not None
        return [
            point
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]


@Order.handler
async def order(task: Order, ctx: Context[Shop]) -> None:
    with ctx.state(Lab).tracer.start_as_current_span("charge"):
        if ctx.attempt == 1:
            raise ValueError("card refused")
    await ctx.spawn(Letter(number=task.number))


@Letter.handler
async def letter(task: Letter, ctx: Context[Shop]) -> None:
    with ctx.state(Lab).tracer.start_as_current_span("write"):
        pass


@Press.handler
def press(task: Press, ctx: Context[Shop]) -> None:
    with ctx.state(Lab).tracer.start_as_current_span("press"):
        if task.spawns:
            ctx.blocking.spawn(Letter())


@Long.handler
async def long(task: Long, ctx: Context[Shop]) -> None:
    if ctx.record.run == 1:
        await anyio.sleep(3600)


HANDLERS: list[Handler[Shop]] = [order, letter, press, long]


@asynccontextmanager
async def open_shop(lab: Lab, path: str = ":memory:", **options: Any) -> AsyncGenerator[Scheduler]:
    options.setdefault("tracing", lab.tracing())
    async with virtual_time() as clock:
        domain = Domain(Shop, handlers=HANDLERS, state=[lab])
        async with Scheduler(
            path, domains=[domain], clock=clock, loop_limit=None, **options
        ) as scheduler:
            yield scheduler


def trace_of(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.trace_id)


def id_of(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.span_id)


def parent_of(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id


def links_of(span: ReadableSpan) -> list[int]:
    return [link.context.span_id for link in span.links]


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


async def test_a_request_a_retry_and_a_child_are_one_trace() -> None:
    lab = Lab()
    async with open_shop(lab) as scheduler:
        with lab.tracer.start_as_current_span("POST /orders") as span:
            submitted = await scheduler.submit(Order(number=7), retry=QUICK)
            request = span.get_span_context()
        await scheduler.idle()
    send, [first, second] = lab.one("send shop::order"), lab.named("process shop::order")
    assert {trace_of(span) for span in lab.spans.get_finished_spans()} == {request.trace_id}
    assert (send.kind, parent_of(send)) == (SpanKind.PRODUCER, request.span_id)
    about = {
        "messaging.system": "taskmill",
        "messaging.destination.name": "shop::order",
        "messaging.message.id": str(submitted.id),
    }
    own = {"messaging.operation.name": "send", "messaging.operation.type": "send"}
    assert attributes(send) == {**about, **own, "taskmill.outcome": "inserted"}
    for number, attempt in enumerate((first, second), 1):
        assert attempt.kind is SpanKind.CONSUMER
        assert parent_of(attempt) == request.span_id
        assert links_of(attempt) == [id_of(send)]
        assert attributes(attempt)["taskmill.attempt"] == number
    own = {"messaging.operation.name": "process", "messaging.operation.type": "process"}
    run = {"taskmill.domain": "shop", "taskmill.attempt": 2, "taskmill.run": 2}
    assert attributes(second) == {**about, **own, **run}
    assert second.status.status_code is StatusCode.UNSET
    assert first.status.status_code is StatusCode.ERROR
    assert first.status.description == "ValueError: card refused"
    assert attributes(first)["error.type"] == "ValueError"
    [event] = first.events
    told = dict(event.attributes or {})
    assert (event.name, told["exception.type"]) == ("exception", "ValueError")
    assert told["exception.message"] == "card refused"
    assert "card refused" in str(told["exception.stacktrace"])
    assert [parent_of(span) for span in lab.named("charge")] == [id_of(first), id_of(second)]
    child, written = lab.one("process shop::letter"), lab.one("write")
    assert parent_of(lab.one("send shop::letter")) == parent_of(child) == id_of(second)
    assert links_of(child) == [id_of(lab.one("send shop::letter"))]
    assert parent_of(written) == id_of(child)


async def test_the_context_survives_a_restart_and_the_death_of_the_span(tmp_path: Path) -> None:
    path, before, after = str(tmp_path / "app.db"), Lab(), Lab()
    async with open_shop(before, path) as scheduler:
        await scheduler.pause()
        with before.tracer.start_as_current_span("request"):
            await scheduler.submit(Letter())
    async with open_shop(after, path) as scheduler:
        await scheduler.resume()
        await scheduler.idle()
    attempt, request = after.one("process shop::letter"), before.one("request")
    assert trace_of(attempt) == trace_of(request)
    assert parent_of(attempt) == id_of(request)
    assert links_of(attempt) == [id_of(before.one("send shop::letter"))]


async def test_without_a_span_at_the_submit_the_send_span_is_the_parent() -> None:
    lab = Lab()
    async with open_shop(lab) as scheduler:
        await scheduler.submit(Letter())
        await scheduler.idle()
    send, attempt = lab.one("send shop::letter"), lab.one("process shop::letter")
    assert parent_of(send) is None
    assert parent_of(attempt) == id_of(send)
    assert trace_of(attempt) == trace_of(send)


async def test_linked_attempts_begin_traces_of_their_own() -> None:
    lab = Lab()
    async with open_shop(lab, tracing=lab.tracing(attempts="linked")) as scheduler:
        with lab.tracer.start_as_current_span("request"):
            await scheduler.submit(Order(), retry=QUICK)
        await scheduler.idle()
    attempts = lab.named("process shop::order")
    traces = {trace_of(span) for span in attempts} | {trace_of(lab.one("request"))}
    assert len(traces) == 3
    assert [parent_of(span) for span in attempts] == [None, None]
    assert [links_of(span) for span in attempts] == [[id_of(lab.one("send shop::order"))]] * 2


async def test_a_scheduler_opened_inside_a_span_lends_it_to_no_task() -> None:
    lab = Lab()
    with lab.tracer.start_as_current_span("start-up"):
        async with open_shop(lab) as scheduler:
            await scheduler.schedule(Letter(), Every(timedelta(hours=1), max_runs=1), "hourly")
            await anyio.sleep(3601)
            await scheduler.idle()
    attempt = lab.one("process shop::letter")
    assert (parent_of(attempt), links_of(attempt)) == (None, [])
    assert trace_of(attempt) != trace_of(lab.one("start-up"))


async def test_a_thread_has_the_span_of_its_attempt_and_so_have_its_children() -> None:
    lab = Lab()
    async with open_shop(lab) as scheduler:
        await scheduler.submit(Press(spawns=True))
        await scheduler.idle()
    attempt, inside = lab.one("process shop::press"), lab.one("press")
    assert parent_of(inside) == id_of(attempt)
    assert parent_of(lab.one("send shop::letter")) == id_of(inside)


async def test_many_tasks_of_one_submit_share_a_span_that_says_how_many() -> None:
    lab = Lab()
    async with open_shop(lab) as scheduler:
        await scheduler.submit_many([Letter(number=n) for n in range(3)])
        await scheduler.submit_many([Letter(number=9), Press()])
        await scheduler.idle()
    alike, mixed = lab.one("send shop::letter"), lab.one("send")
    assert attributes(alike)["messaging.batch.message_count"] == 3
    assert "messaging.message.id" not in attributes(alike)
    assert attributes(mixed)["messaging.batch.message_count"] == 2
    assert "messaging.destination.name" not in attributes(mixed)
    assert {links_of(span)[0] for span in lab.named("process shop::letter")} == {
        id_of(alike),
        id_of(mixed),
    }


async def test_a_submit_that_is_refused_is_an_error_on_its_span() -> None:
    lab = Lab()
    async with open_shop(lab) as scheduler:
        with pytest.raises(ConfigurationError):
            await scheduler.submit(Letter(), priority=1000)
        wrong: Any = "no task"
        with pytest.raises(ConfigurationError):
            await scheduler.submit(wrong)
    span = lab.one("send shop::letter")
    assert span.status.status_code is StatusCode.ERROR
    assert attributes(span)["error.type"] == "taskmill.model.errors.ConfigurationError"
    assert lab.one("send").status.status_code is StatusCode.ERROR


async def test_an_interruption_is_no_error() -> None:
    lab = Lab()
    async with open_shop(lab, max_concurrency=1) as scheduler:
        await scheduler.submit(Long())
        await anyio.sleep(1)
        await scheduler.submit(Letter(), priority=Priority.REALTIME)
        await scheduler.idle()
        cancelled = await scheduler.submit(Order(), delay=timedelta(seconds=1))
        await scheduler.cancel(cancelled.id)
    first, second = lab.named("process shop::long")
    assert attributes(first)["taskmill.interruption"] == "preempted"
    assert "taskmill.interruption" not in attributes(second)
    assert first.status.status_code is StatusCode.UNSET
    assert links_of(first) == links_of(second)


async def test_a_duplicate_keeps_the_context_of_the_task_that_was_there() -> None:
    lab = Lab()
    async with open_shop(lab) as scheduler:
        await scheduler.pause()
        with lab.tracer.start_as_current_span("first"):
            one = await scheduler.submit(Letter())
        with lab.tracer.start_as_current_span("second"):
            two = await scheduler.submit(Letter())
        assert two.outcome is SubmitOutcome.DUPLICATE
        await scheduler.resume()
        await scheduler.wait(one.id)
    assert parent_of(lab.one("process shop::letter")) == id_of(lab.one("first"))
    assert attributes(lab.named("send shop::letter")[1])["taskmill.outcome"] == "duplicate"


async def test_what_is_carried_changes_neither_the_options_nor_what_people_see() -> None:
    lab, plain = Lab(), Lab()
    async with open_shop(lab) as traced, open_shop(plain, tracing=None) as untraced:
        texts: list[str] = []
        records: list[TaskRecord] = []
        for scheduler in (traced, untraced):
            await scheduler.pause()
            task = await scheduler.submit(Letter(), timeout=timedelta(seconds=5), key="k")
            again = await scheduler.submit(Letter(), key="k")
            assert again.outcome is SubmitOutcome.DUPLICATE
            texts.append(str(await scheduler.explain(task.id)))
            records.append(await scheduler.get(task.id))
            await scheduler.resume()
            assert (await scheduler.wait(task.id)).status is TaskStatus.COMPLETED
        assert texts[0] == texts[1]
        first, second = records
        assert first.tags == second.tags == {}
        assert set(carried(first.options)) == {"traceparent", "send"}
        assert carried(second.options) == {}
        own = {k: v for k, v in json.loads(first.options or "{}").items() if k != "trace"}
        assert own == json.loads(second.options or "{}") == {"timeout": 5_000_000}


@pytest.mark.parametrize("stored", [None, "", "{", "[]", '"trace"', '{"trace": 1}', "null"])
def test_what_cannot_be_read_carries_nothing(stored: str | None) -> None:
    assert carried(stored) == {}


def test_what_is_no_text_is_not_carried() -> None:
    assert carried('{"trace": {"a": 1, "b": "x"}}') == {"b": "x"}


async def test_the_state_of_the_trace_is_carried_too() -> None:
    lab = Lab()
    came = {
        "traceparent": f"00-{format_trace_id(1)}-{format_span_id(2)}-01",
        "tracestate": "vendor=value",
    }
    async with open_shop(lab) as scheduler:
        context = TraceContextTextMapPropagator().extract(came)
        with lab.tracer.start_as_current_span("request", context=context):
            await scheduler.submit(Letter())
        await scheduler.idle()
    attempt = lab.one("process shop::letter")
    assert attempt.context is not None
    assert attempt.context.trace_state.to_header() == "vendor=value"
    assert trace_of(attempt) == 1


async def test_measurements_have_the_names_and_bounds_of_the_conventions() -> None:
    lab = Lab()
    async with open_shop(lab) as scheduler:
        await scheduler.submit(Order(), retry=QUICK)
        await scheduler.submit_many([Letter(number=n) for n in (1, 2)])
        await scheduler.idle()
    sent = {
        point.attributes["messaging.destination.name"]: point.value
        for point in lab.points("messaging.client.sent.messages")
    }
    assert sent == {"shop::order": 1, "shop::letter": 3}
    processed = lab.points("messaging.process.duration")
    counts = {
        (p.attributes["messaging.destination.name"], p.attributes.get("error.type")): p.count
        for p in processed
    }
    assert counts == {
        ("shop::order", "ValueError"): 1,
        ("shop::order", None): 1,
        ("shop::letter", None): 3,
    }
    for point in (*processed, *lab.points("messaging.client.operation.duration")):
        assert isinstance(point, HistogramDataPoint)
        assert tuple(point.explicit_bounds) == (
            0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10,
        )  # fmt: skip
        assert (point.attributes or {})["messaging.system"] == "taskmill"


async def test_the_conventions_of_contexts_are_kept_whatever_a_handler_does(
    caplog: pytest.LogCaptureFixture,
) -> None:
    lab = Lab()
    with caplog.at_level(logging.WARNING):
        async with open_shop(lab, max_concurrency=1) as scheduler:
            running = await scheduler.submit(Long())
            await anyio.sleep(1)
            await scheduler.cancel(running.id)
            await scheduler.idle()
    assert attributes(lab.one("process shop::long"))["taskmill.interruption"] == "cancelled"
    assert not [line for line in caplog.records if line.name.startswith("opentelemetry")]


def test_wrong_values_are_refused() -> None:
    wrong: Any = "sometimes"
    with pytest.raises(ConfigurationError, match="'child' or 'linked', not 'sometimes'"):
        OpenTelemetry(attempts=wrong)
    with pytest.raises(ConfigurationError, match="no tracing: it has no sending"):
        Scheduler(":memory:", domains=[Domain(Shop, handlers=HANDLERS)], tracing=wrong)


async def test_the_attempt_of_a_worker_process_is_traced_from_here(tmp_path: Path) -> None:
    """Its span, its error and its children; not the spans that the handler makes over there."""
    lab = Lab()
    with lab.tracer.start_as_current_span("request"):
        async with Scheduler(
            ":memory:",
            domains=[plant.domain()],
            executors={"process": ProcessExecutor(1)},
            tracing=lab.tracing(),
        ) as scheduler:
            await scheduler.submit(plant.Mill())
            await scheduler.submit(plant.Broken())
            await scheduler.idle()
            parts = [r for r in await scheduler.history() if r.type == "plant::part"]
    request, mill = lab.one("request"), lab.one("process plant::mill")
    assert parent_of(mill) == id_of(request)
    assert parent_of(lab.one("send plant::part")) == id_of(mill)
    assert lab.one("process plant::broken").status.description == "ZeroDivisionError: no grain"
    [record] = parts
    assert json.loads(record.result or "") == format_trace_id(trace_of(request))
    assert submitted_in(record)
