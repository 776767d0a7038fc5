"""What a task's options are once every layer has spoken: the nearer layer wins.

call > payload method > task class > domain > scheduler > built-in. A missing key inherits,
None means none; a payload method that returns None inherits. Tags merge per key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, cast

import attrs

from taskmill.model.choices import OnDuplicate, TtlFrom
from taskmill.model.errors import ConfigurationError
from taskmill.model.limits import check_tags, check_text
from taskmill.model.options import SubmitOptions, TaskOptions, check_options
from taskmill.model.policies import Backoff, Jitter, Priority, RetryPolicy
from taskmill.model.showing import shown
from taskmill.model.times import FIRST_MS, LAST_MS, ceil_ms, from_ms, to_ms

BUILT_IN: TaskOptions = {
    "priority": Priority.NORMAL,
    "group": None,
    "timeout": None,
    "retry": RetryPolicy(),
    "stop_grace": timedelta(seconds=30),
    "cancel_grace": timedelta(seconds=30),
    "requeue": True,
    "preemptible": True,
    "ttl": None,
    "ttl_from": TtlFrom.SUBMISSION,
    "on_duplicate": OnDuplicate.KEEP,
    "unique_for": None,
    "fail_fast": True,
    "max_interruptions": 5,
}

_MICROSECOND = timedelta(microseconds=1)
_CARRIER = "trace"
"""The key, beside those of options, of what is carried for tracing."""
_ATTEMPT_KEYS = (
    "timeout",
    "retry",
    "stop_grace",
    "cancel_grace",
    "preemptible",
    "max_interruptions",
)


@attrs.frozen(kw_only=True)
class AttemptOptions:
    """The options that hold while a handler runs."""

    timeout: timedelta | None
    retry: RetryPolicy
    max_retries: int
    stop_grace: timedelta
    cancel_grace: timedelta
    preemptible: bool
    max_interruptions: int


@attrs.frozen(kw_only=True)
class TypeDefaults:
    """The options of a task type, with the layers behind the call and the payload merged."""

    options: TaskOptions
    given: frozenset[str]
    """The options that some layer sets."""
    tags: Mapping[str, str]
    attempt: AttemptOptions


@attrs.frozen(kw_only=True)
class Placement:
    """The options that are settled when a task is submitted."""

    key: str | None
    label: str | None
    tags: Mapping[str, str]
    group: str | None
    priority: int
    max_retries: int | None
    ready_at_ms: int
    due_at_ms: int | None
    run_at_ms: int | None
    on_duplicate: OnDuplicate
    requeue: bool
    unique_for_ms: int | None
    expires_at_ms: int | None
    ttl_ms: int | None
    """The time to live, where it begins with the first attempt."""
    has_ttl: bool
    """Whether anybody said how long it may wait; otherwise a parent's time to live is its own."""
    fail_fast: bool
    max_interruptions: int
    inherits_tags: bool
    """Whether a parent's tags are taken over where these set none."""
    attempt: str | None


def type_defaults(task: TaskOptions, domain: TaskOptions, scheduler: TaskOptions) -> TypeDefaults:
    """Merge what a task class, its domain and the scheduler say."""
    options = cast("TaskOptions", {**BUILT_IN, **scheduler, **domain, **task})  # same keys each
    tags: dict[str, str] = {}
    for layer in (scheduler, domain, task):
        tags = merged_tags(tags, layer)
    check_tags(tags)
    attempt = AttemptOptions(
        timeout=options.get("timeout"),
        retry=options.get("retry", RetryPolicy()),
        max_retries=_max_retries(task, domain, scheduler, BUILT_IN),
        stop_grace=options.get("stop_grace", timedelta(seconds=30)),
        cancel_grace=options.get("cancel_grace", timedelta(seconds=30)),
        preemptible=options.get("preemptible", True),
        max_interruptions=options.get("max_interruptions", 5),
    )
    given = frozenset({*task, *domain, *scheduler})
    return TypeDefaults(options=options, given=given, tags=tags, attempt=attempt)


def _max_retries(*layers: TaskOptions) -> int:
    """What the nearest layer says of it: the number itself, or the one of its policy."""
    for layer in layers:
        if "max_retries" in layer:
            return layer["max_retries"]
        if "retry" in layer:
            return layer["retry"].max_retries
    return 0


def merged_tags(inherited: Mapping[str, str], layer: TaskOptions) -> dict[str, str]:
    """The tags with ``layer`` on top; ``tags=None`` in it drops what was inherited."""
    if "tags" not in layer:
        return dict(inherited)
    own = layer["tags"]
    return {} if own is None else {**inherited, **own}


def placement(
    defaults: TypeDefaults,
    call: SubmitOptions,
    *,
    payload_key: str | None,
    payload_label: str | None,
    payload_tags: Mapping[str, str],
    payload_group: str | None,
    now: datetime,
    carrier: Mapping[str, str] | None = None,
) -> Placement:
    """Resolve one submit: the call over the payload's methods over the type's defaults.

    ``carrier`` is kept with the task for `carried`, and changes nothing else.
    """
    options = defaults.options
    if call:
        check_options(call, SubmitOptions.__annotations__, "this call")
        options = cast("TaskOptions", {**options, **call})  # a call has the same keys and more
    tags = defaults.tags
    if payload_tags:
        check_tags(payload_tags, "task_tags()")
        tags = {**tags, **payload_tags}
    if "tags" in call:
        tags = merged_tags(tags, call)
    if tags is not defaults.tags:
        check_tags(tags)
    group = options.get("group")
    if payload_group is not None and "group" not in call:
        group = payload_group
    for name, text in (("key", payload_key), ("label", payload_label), ("group", payload_group)):
        if text is not None:
            check_text(text, f"task_{name}()")
    now_ms = to_ms(now)
    run_at_ms = _start(options, call, now)
    ttl = options.get("ttl")
    ttl_ms = None if ttl is None else ceil_ms(ttl)
    from_submission = options.get("ttl_from") is not TtlFrom.FIRST_ATTEMPT
    unique_for = options.get("unique_for")
    due_at_ms = run_at_ms if run_at_ms is not None and run_at_ms > now_ms else None
    return Placement(
        key=call.get("key", payload_key),
        label=call.get("label", payload_label),
        tags=tags,
        group=group,
        priority=int(options.get("priority", Priority.NORMAL)),
        max_retries=call.get("max_retries"),
        ready_at_ms=now_ms if due_at_ms is None else due_at_ms,
        due_at_ms=due_at_ms,
        run_at_ms=run_at_ms,
        on_duplicate=options.get("on_duplicate", OnDuplicate.KEEP),
        requeue=options.get("requeue", True),
        unique_for_ms=None if unique_for is None else ceil_ms(unique_for),
        expires_at_ms=now_ms + ttl_ms if ttl_ms is not None and from_submission else None,
        ttl_ms=None if from_submission else ttl_ms,
        has_ttl="ttl" in call or "ttl" in defaults.given,
        fail_fast=options.get("fail_fast", True),
        max_interruptions=options.get("max_interruptions", 5),
        inherits_tags=call.get("tags", tags) is not None,
        attempt=_stored(call, carrier),
    )


def attempt_options(
    defaults: TypeDefaults, stored: str | None, max_retries: int | None
) -> AttemptOptions:
    """What holds while a task runs: the call's stored options over its type's defaults."""
    if stored is None and max_retries is None:
        return defaults.attempt
    options = defaults.attempt
    own: dict[str, Any] = {} if stored is None else json.loads(stored)
    retry = _retry_from(own["retry"], options.retry) if "retry" in own else options.retry
    if max_retries is None:
        max_retries = retry.max_retries if "retry" in own else options.max_retries
    return AttemptOptions(
        timeout=_from_us(own["timeout"]) if "timeout" in own else options.timeout,
        retry=retry,
        max_retries=max_retries,
        stop_grace=_grace(own, "stop_grace", options.stop_grace),
        cancel_grace=_grace(own, "cancel_grace", options.cancel_grace),
        preemptible=own.get("preemptible", options.preemptible),
        max_interruptions=own.get("max_interruptions", options.max_interruptions),
    )


def carried(stored: str | None) -> dict[str, str]:
    """What was given to be carried with a task; empty where that was nothing, or cannot be read."""
    if stored is None or _CARRIER not in stored:
        return {}
    try:
        found: object = json.loads(stored).get(_CARRIER)
    except (ValueError, AttributeError):
        return {}  # the attempt itself fails by this, and says so
    if not isinstance(found, dict):
        return {}
    carrier = cast("dict[object, object]", found)  # JSON; an isinstance check loses the types
    return {str(key): value for key, value in carrier.items() if isinstance(value, str)}


def _start(options: TaskOptions, call: SubmitOptions, now: datetime) -> int | None:
    if "run_at" in call:
        run_at = call["run_at"]
        if "delay" in call:
            raise ConfigurationError("delay and run_at were both given; a task has one start time")
        return checked_start(run_at)
    delay = options.get("delay", timedelta(0))
    return to_ms(now) + ceil_ms(delay) if delay else None


def checked_start(run_at: object) -> int:
    """A start time in milliseconds; ConfigurationError for a naive one, or one out of range."""
    if not isinstance(run_at, datetime):
        raise ConfigurationError(
            f"run_at={shown(run_at)} is no time; use an aware datetime such as "
            "datetime.now(timezone.utc)"
        )
    if run_at.tzinfo is None:
        raise ConfigurationError(
            f"run_at={shown(run_at)} has no time zone; use an aware datetime such as "
            "datetime.now(timezone.utc)"
        )
    run_at_ms = to_ms(run_at)
    if not FIRST_MS <= run_at_ms <= LAST_MS:
        raise ConfigurationError(
            f"run_at={shown(run_at)} is before the year 1 or after the year 9999 in UTC; times are "
            f"kept in UTC, from {from_ms(FIRST_MS)} to {from_ms(LAST_MS)}"
        )
    return run_at_ms


def _stored(call: SubmitOptions, carrier: Mapping[str, str] | None) -> str | None:
    own: dict[str, object] = {}
    for key in _ATTEMPT_KEYS:
        if key in call:
            value: object = call[key]  # type: ignore[literal-required] # the keys are literals above
            own[key] = _to_json(value)
    if carrier:
        own[_CARRIER] = dict(carrier)
    return json.dumps(own) if own else None


def _to_json(value: object) -> object:
    match value:
        case RetryPolicy():
            return _retry_to(value)
        case timedelta():
            return value // _MICROSECOND
        case _:
            return value


def _grace(own: Mapping[str, Any], name: str, inherited: timedelta) -> timedelta:
    return timedelta(microseconds=own[name]) if name in own else inherited


def _from_us(stored: int | None) -> timedelta | None:
    return None if stored is None else timedelta(microseconds=stored)


def _retry_to(policy: RetryPolicy) -> dict[str, object]:
    if policy.retry_on != (Exception,):
        raise ConfigurationError(
            "retry_on cannot be stored with a task: set it on the task class or the domain; "
            "a call inherits it from there"
        )
    if not isinstance(policy.backoff, Backoff):
        raise ConfigurationError(
            "a wait strategy cannot be stored with a task: set it on the task class or the domain"
        )
    return {
        "max_retries": policy.max_retries,
        "backoff": policy.backoff.value,
        "base": policy.base // _MICROSECOND,
        "max_delay": policy.max_delay // _MICROSECOND,
        "multiplier": policy.multiplier,
        "jitter": policy.jitter.value,
        "dead_letter": policy.dead_letter,
    }


def _retry_from(stored: Mapping[str, Any], inherited: RetryPolicy) -> RetryPolicy:
    return RetryPolicy(
        max_retries=stored["max_retries"],
        backoff=Backoff(stored["backoff"]),
        base=timedelta(microseconds=stored["base"]),
        max_delay=timedelta(microseconds=stored["max_delay"]),
        multiplier=stored["multiplier"],
        jitter=Jitter(stored["jitter"]),
        retry_on=inherited.retry_on,
        dead_letter=stored["dead_letter"],
    )
