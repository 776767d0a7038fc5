"""Submits and attempts as spans and metrics of OpenTelemetry, by its messaging conventions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any, Literal, TypeAlias, final

from taskmill.engine.events.tracing import AttemptEnd
from taskmill.executors.failures import name_of
from taskmill.model.errors import ConfigurationError, MissingExtra
from taskmill.model.events import InterruptCause
from taskmill.model.outcomes import Submitted
from taskmill.model.record import TaskRecord
from taskmill.model.showing import shown
from taskmill.rules.options import carried

try:
    from opentelemetry import context as otel_context
    from opentelemetry import metrics, trace
    from opentelemetry.context import Context
    from opentelemetry.trace import Link, Span, SpanContext, SpanKind, StatusCode
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
    from opentelemetry.util.types import AttributeValue
except ImportError as error:
    raise MissingExtra("taskmill.otel", "otel") from error

Relation: TypeAlias = Literal["child", "linked"]
"""How the span of an attempt belongs to the trace of its submit."""

_SCOPE = "taskmill"
_W3C = TraceContextTextMapPropagator()
_SEND = "send"
"""The key, beside ``traceparent`` and ``tracestate``, of the context of the send span."""
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""The bounds of the conventions."""


@final
class OpenTelemetry:
    """Traces a scheduler: ``Scheduler(..., tracing=OpenTelemetry())``.

    A submit is a span ``send {type}`` (PRODUCER), an attempt a span ``process {type}`` (CONSUMER)
    with a link to the send span. With ``attempts="child"`` the attempt is also a child of the span
    that was current at the submit, or of the send span where none was: what its handler does
    belongs to the trace of the request. With ``"linked"`` each attempt begins a trace of its own.
    The context is kept with the task, in W3C format: retries, and runs after a restart, have it.

    Spans and measurements go to the given providers, else to the global ones.
    """

    def __init__(
        self,
        *,
        attempts: Relation = "child",
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
    ) -> None:
        if attempts not in ("child", "linked"):
            raise ConfigurationError(f"attempts is 'child' or 'linked', not {shown(attempts)}")
        self._is_child = attempts == "child"
        self._tracer = trace.get_tracer(_SCOPE, tracer_provider=tracer_provider)
        meter = metrics.get_meter(_SCOPE, meter_provider=meter_provider)
        self._sent = meter.create_counter(
            "messaging.client.sent.messages",
            unit="{message}",
            description="Number of messages producer attempted to send to the broker.",
        )
        self._operation = meter.create_histogram(
            "messaging.client.operation.duration",
            unit="s",
            description="Duration of an operation that a producer or consumer initiated.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._process = meter.create_histogram(
            "messaging.process.duration",
            unit="s",
            description="Duration of processing operation.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )

    def __repr__(self) -> str:
        return f"OpenTelemetry(attempts={'child' if self._is_child else 'linked'!r})"

    @contextmanager
    def sending(self, types: Sequence[str]) -> Generator[_Sending]:
        """A span around one submit."""
        known = Counter(name for name in types if name)
        destination = next(iter(known)) if len(known) == 1 else None
        about = _about("send", destination)
        number: dict[str, AttributeValue] = {}
        if len(types) > 1:
            number["messaging.batch.message_count"] = len(types)
        span = self._tracer.start_span(
            f"send {destination}" if destination else "send",
            kind=SpanKind.PRODUCER,
            attributes={**about, **number},
        )
        carrier = _carrier(span)
        failure: dict[str, AttributeValue] = {}
        began = perf_counter()
        try:
            with trace.use_span(span, record_exception=False, set_status_on_exception=False):
                yield _Sending(span, carrier)
        except Exception as error:
            failure = {"error.type": name_of(error)}
            span.record_exception(error)
            _failed(span, name_of(error), str(error))
            raise
        finally:
            self._operation.record(perf_counter() - began, {**about, **failure})
            for name, count in known.items():
                self._sent.add(count, {**_about("send", name), **failure})
            span.end()

    @contextmanager
    def processing(self, record: TaskRecord, carrier: Mapping[str, str]) -> Generator[_Processing]:
        """A span around one attempt."""
        about = _about("process", record.type)
        sent = _span_context(carrier.get(_SEND), carrier)
        span = self._tracer.start_span(
            f"process {record.type}",
            context=_W3C.extract(carrier, Context()) if self._is_child else Context(),
            kind=SpanKind.CONSUMER,
            links=[Link(sent)] if sent.is_valid else [],
            attributes={
                **about,
                "messaging.message.id": str(record.id),
                "taskmill.domain": record.domain,
                "taskmill.attempt": record.attempt,
                "taskmill.run": record.run,
            },
        )
        processing = _Processing(span)
        began = perf_counter()
        token = otel_context.attach(trace.set_span_in_context(span, Context()))
        try:
            yield processing
        except BaseException as error:
            processing.fails(name_of(error), str(error))
            raise
        finally:
            otel_context.detach(token)
            self._process.record(perf_counter() - began, {**about, **processing.failure})
            span.end()


def submitted_in(record: TaskRecord) -> Context:
    """The context that a task was submitted in, to be the parent of spans; empty without one.

    For handlers in worker processes, where no span is current:
    ``tracer.start_as_current_span("resize", context=submitted_in(ctx.record))``.
    """
    return _W3C.extract(carried(record.options), Context())


@final
class _Sending:
    """The span of one submit."""

    def __init__(self, span: Span, carrier: Mapping[str, str]) -> None:
        self._span = span
        self.carrier = carrier

    def sent(self, submitted: Sequence[Submitted[Any]]) -> None:
        if len(submitted) == 1:
            [one] = submitted
            self._span.set_attribute("messaging.message.id", str(one.id))
            self._span.set_attribute("taskmill.outcome", one.outcome.value)


@final
class _Processing:
    """The span of one attempt."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self.failure: dict[str, AttributeValue] = {}

    def ended(self, end: AttemptEnd) -> None:
        if end.interruption is not None:
            self._span.set_attribute("taskmill.interruption", end.interruption)
        if end.error is not None:
            attributes = {
                "exception.type": end.error.type,
                "exception.message": end.error.message,
                "exception.stacktrace": end.error.traceback,
            }
            self._span.add_event("exception", attributes)
            self.fails(end.error.type, end.error.message)
        elif end.interruption == InterruptCause.CRASH.value:
            self.fails("crash", "what ran the handler is gone")

    def fails(self, kind: str, message: str) -> None:
        """The attempt has failed."""
        self.failure = {"error.type": kind}
        _failed(self._span, kind, message)


def _about(operation: str, destination: str | None) -> dict[str, AttributeValue]:
    """The attributes that spans and measurements of an operation share."""
    about: dict[str, AttributeValue] = {
        "messaging.system": "taskmill",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
    }
    if destination is not None:
        about["messaging.destination.name"] = destination
    return about


def _failed(span: Span, kind: str, message: str) -> None:
    span.set_attribute("error.type", kind)
    span.set_status(StatusCode.ERROR, f"{kind}: {message}" if message else kind)


def _carrier(sending: Span) -> dict[str, str]:
    """What is kept with the tasks of a submit: the context that is current, and its span's own."""
    own: dict[str, str] = {}
    _W3C.inject(own, trace.set_span_in_context(sending, Context()))
    if not own:
        return {}
    current: dict[str, str] = {}
    _W3C.inject(current)
    return {**(current or own), _SEND: own["traceparent"]}


def _span_context(traceparent: str | None, carrier: Mapping[str, str]) -> SpanContext:
    """The context of a span, as it was carried; an invalid one where it was not."""
    own = {**carrier, "traceparent": traceparent or ""}
    return trace.get_current_span(_W3C.extract(own, Context())).get_span_context()
