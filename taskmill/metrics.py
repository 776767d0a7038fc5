"""What a scheduler counts, for Prometheus: a collector for the registry of prometheus_client."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Literal, TypeAlias, final

import attrs

from taskmill.model.errors import ConfigurationError, MissingExtra
from taskmill.model.metrics import Histogram, Metrics, Standing
from taskmill.model.showing import shown
from taskmill.model.status import TaskStatus
from taskmill.scheduler import Scheduler

try:
    from prometheus_client import REGISTRY, CollectorRegistry
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
        Metric,
    )
    from prometheus_client.registry import Collector
except ImportError as error:
    raise MissingExtra("taskmill.metrics", "metrics") from error

Kind: TypeAlias = Literal["counter", "gauge", "histogram"]
_Labels: TypeAlias = tuple[str, ...]
_Samples: TypeAlias = Iterable[tuple[_Labels, float | Histogram]]


@attrs.frozen
class Family:
    """One metric that is exported: its name, labels and meaning."""

    name: str
    """As it is exported; each histogram has ``_bucket``, ``_sum`` and ``_count``."""
    kind: Kind
    labels: _Labels
    meaning: str
    samples: Callable[[Metrics], _Samples]


def register(
    schedulers: Scheduler | Mapping[str, Scheduler],
    *,
    registry: CollectorRegistry = REGISTRY,
) -> Collector:
    """Export a scheduler in a registry; return what was registered, for ``registry.unregister``.

    Several schedulers are given by names of your own, which all their metrics have as the label
    ``scheduler``. What was counted stays when a scheduler closes, and goes on when it opens again;
    gauges are exported while it is open. ConfigurationError where the registry has these metrics
    already: give all schedulers in one call, or each a registry of its own.
    """
    collector = SchedulerCollector(schedulers)
    try:
        registry.register(collector)
    except ValueError as error:
        raise ConfigurationError(
            "this registry has the metrics of a scheduler already; register all of them in one "
            "call, register({'jobs': jobs, 'reports': reports}), or in registries of their own"
        ) from error
    return collector


@final
class SchedulerCollector(Collector):
    """Reads the metrics of schedulers whenever it is asked; see `register`."""

    def __init__(self, schedulers: Scheduler | Mapping[str, Scheduler]) -> None:
        self._one = schedulers if isinstance(schedulers, Scheduler) else None
        self._named = {} if isinstance(schedulers, Scheduler) else dict(schedulers)
        for name, scheduler in self._named.items():
            if not isinstance(scheduler, Scheduler):  # pyright: ignore[reportUnnecessaryIsInstance] # untyped callers
                raise ConfigurationError(
                    f"register takes a Scheduler, or several by name, not {shown(scheduler)} "
                    f"for {shown(name, 60)}"
                )

    def describe(self) -> Iterator[Metric]:
        """The families without a sample, by which a registry finds names that it has already."""
        for family in FAMILIES:
            yield _metric(family, self._labels(family))

    def collect(self) -> Iterator[Metric]:
        """The families as they are now."""
        read: list[tuple[_Labels, Metrics]] = [
            ((name,), scheduler.metrics()) for name, scheduler in self._named.items()
        ]
        if self._one is not None:
            read.append(((), self._one.metrics()))
        for family in FAMILIES:
            metric = _metric(family, self._labels(family))
            for name, metrics in read:
                for labels, value in family.samples(metrics):
                    _add(metric, (*name, *labels), value)
            yield metric

    def _labels(self, family: Family) -> _Labels:
        return family.labels if self._one is not None else ("scheduler", *family.labels)


def _metric(family: Family, labels: _Labels) -> Metric:
    match family.kind:
        case "counter":
            return CounterMetricFamily(family.name, family.meaning, labels=labels)
        case "gauge":
            return GaugeMetricFamily(family.name, family.meaning, labels=labels)
        case "histogram":
            return HistogramMetricFamily(family.name, family.meaning, labels=labels)


def _add(metric: Metric, labels: _Labels, value: float | Histogram) -> None:
    if isinstance(metric, HistogramMetricFamily) and isinstance(value, Histogram):
        metric.add_metric(labels, _buckets(value), value.sum)
    elif isinstance(metric, CounterMetricFamily | GaugeMetricFamily) and not isinstance(
        value, Histogram
    ):
        metric.add_metric(labels, value)
    else:
        raise TypeError(f"{metric.name} is no {metric.type} of {shown(value, 60)}")


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    """The cumulative counts under their upper bounds, as Prometheus has them."""
    buckets: list[tuple[str, float]] = []
    total = 0
    for bound, count in zip((*histogram.bounds, float("inf")), histogram.counts, strict=True):
        total += count
        buckets.append(("+Inf" if bound == float("inf") else str(float(bound)), total))
    return buckets


# --- the families --------------------------------------------------------------------------------


def _submitted(metrics: Metrics) -> _Samples:
    for each in metrics.types:
        for outcome, count in each.submitted.items():
            yield (each.domain, each.type, outcome.value), count


def _ended(metrics: Metrics) -> _Samples:
    for each in metrics.types:
        for status, count in each.ended.items():
            yield (each.domain, each.type, status.value), count


def _interrupted(metrics: Metrics) -> _Samples:
    for each in metrics.types:
        for cause, count in each.interrupted.items():
            yield (each.domain, each.type, cause.value), count


def _each_type(name: str) -> Callable[[Metrics], _Samples]:
    """The samples of one field of each type."""
    return lambda metrics: [
        ((each.domain, each.type), getattr(each, name)) for each in metrics.types
    ]


def _alone(name: str) -> Callable[[Metrics], _Samples]:
    """The one sample of a field."""
    return lambda metrics: [((), getattr(metrics, name))]


def _standing(read: Callable[[Standing], _Samples]) -> Callable[[Metrics], _Samples]:
    """What a scheduler has only while it is open."""
    return lambda metrics: [] if metrics.now is None else read(metrics.now)


def _ready(now: Standing) -> _Samples:
    for each in now.types:
        yield (each.domain, each.type, TaskStatus.PENDING.value), each.ready
        yield (each.domain, each.type, TaskStatus.PAUSED.value), each.paused


def _oldest(now: Standing) -> _Samples:
    for each in now.types:
        ages = {TaskStatus.PENDING: each.oldest_ready, TaskStatus.PAUSED: each.oldest_paused}
        for status, age in ages.items():
            if age is not None:
                yield (each.domain, each.type, status.value), age.total_seconds()


def _capacities(now: Standing) -> _Samples:
    for each in now.executors:
        if each.capacity is not None:
            yield (each.name,), each.capacity


_TYPE = ("domain", "type")

FAMILIES: tuple[Family, ...] = (
    Family(
        "taskmill_submitted_tasks_total",
        "counter",
        (*_TYPE, "outcome"),
        "Submits by what came of them; occurrences of schedules count too.",
        _submitted,
    ),
    Family(
        "taskmill_started_runs_total",
        "counter",
        _TYPE,
        "Runs whose handler was called.",
        _each_type("started"),
    ),
    Family(
        "taskmill_ended_tasks_total",
        "counter",
        (*_TYPE, "outcome"),
        "Tasks by the state in which they ended.",
        _ended,
    ),
    Family(
        "taskmill_retried_attempts_total",
        "counter",
        _TYPE,
        "Attempts that failed and are followed by another one.",
        _each_type("retried"),
    ),
    Family(
        "taskmill_interrupted_runs_total",
        "counter",
        (*_TYPE, "cause"),
        "Runs that did not count as an attempt.",
        _interrupted,
    ),
    Family(
        "taskmill_preempted_runs_total",
        "counter",
        _TYPE,
        "Runs that made room for something more urgent.",
        _each_type("preempted"),
    ),
    Family(
        "taskmill_revived_tasks_total",
        "counter",
        _TYPE,
        "Tasks that had ended and were made active again.",
        _each_type("revived"),
    ),
    Family(
        "taskmill_recovered_runs_total",
        "counter",
        (),
        "Runs that a crash had interrupted, found at an opening.",
        _alone("recovered"),
    ),
    Family(
        "taskmill_run_duration_seconds",
        "histogram",
        _TYPE,
        "From the slot a run took to the end of its handler.",
        _each_type("run"),
    ),
    Family(
        "taskmill_queue_wait_seconds",
        "histogram",
        _TYPE,
        "From ready to the first start.",
        _each_type("wait"),
    ),
    Family(
        "taskmill_running_tasks",
        "gauge",
        _TYPE,
        "Tasks whose handlers run.",
        _standing(lambda now: [((t.domain, t.type), t.running) for t in now.types]),
    ),
    Family(
        "taskmill_ready_tasks",
        "gauge",
        (*_TYPE, "status"),
        "Tasks that could start now (pending), or could but for a pause (paused).",
        _standing(_ready),
    ),
    Family(
        "taskmill_oldest_ready_age_seconds",
        "gauge",
        (*_TYPE, "status"),
        "How long the oldest of these has been ready; absent where there is none.",
        _standing(_oldest),
    ),
    Family(
        "taskmill_max_concurrency",
        "gauge",
        (),
        "Slots of the scheduler.",
        _standing(lambda now: [((), now.max_concurrency)]),
    ),
    Family(
        "taskmill_executor_running_tasks",
        "gauge",
        ("executor",),
        "Slots in use on an executor.",
        _standing(lambda now: [((e.name,), e.running) for e in now.executors]),
    ),
    Family(
        "taskmill_executor_capacity",
        "gauge",
        ("executor",),
        "Slots of an executor; absent where only the scheduler limits them.",
        _standing(_capacities),
    ),
    Family(
        "taskmill_executor_runs_total",
        "counter",
        ("executor",),
        "Runs that have ended on an executor.",
        lambda metrics: [((e.name,), e.runs) for e in metrics.executors],
    ),
    Family(
        "taskmill_executor_busy_seconds_total",
        "counter",
        ("executor",),
        "The time that these runs held a slot.",
        lambda metrics: [((e.name,), e.busy.total_seconds()) for e in metrics.executors],
    ),
    Family(
        "taskmill_held_total",
        "counter",
        ("gate",),
        "How often a gate held work back that the dispatcher looked at.",
        lambda metrics: [((gate,), count) for gate, count in metrics.held.items()],
    ),
    Family(
        "taskmill_commit_duration_seconds",
        "histogram",
        (),
        "Transactions of the scheduler that worked.",
        _alone("commit"),
    ),
    Family(
        "taskmill_commit_changes",
        "histogram",
        (),
        "Changes in each of them.",
        _alone("batch"),
    ),
    Family(
        "taskmill_commit_failures_total",
        "counter",
        (),
        "Transactions that failed as a whole.",
        _alone("commit_failures"),
    ),
    Family(
        "taskmill_refused_changes_total",
        "counter",
        (),
        "Changes that the database refused alone.",
        _alone("changes_refused"),
    ),
    Family(
        "taskmill_dropped_events_total",
        "counter",
        (),
        "Events dropped by streams whose readers were too slow.",
        _alone("dropped_events"),
    ),
    Family(
        "taskmill_loop_lag_seconds",
        "histogram",
        (),
        "How late the event loop came to what was due, while handlers ran.",
        _alone("loop_lag"),
    ),
    Family(
        "taskmill_loop_blocks_total",
        "counter",
        (),
        "How often the event loop stood still for longer than loop_limit.",
        _alone("loop_blocks"),
    ),
)
