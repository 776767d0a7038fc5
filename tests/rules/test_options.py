"""What a task's options are once call, payload, class, domain and scheduler have spoken."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import cast

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tenacity import wait_fixed

from taskmill.define.domain import Domain
from taskmill.define.task import DomainKey, Task
from taskmill.model.choices import OnDependencyFailure, OnDuplicate, TtlFrom
from taskmill.model.errors import ConfigurationError, InvalidTag
from taskmill.model.limits import MAX_LENGTH, check_tags
from taskmill.model.options import SubmitOptions, TaskOptions, check_options, ids_of
from taskmill.model.outcomes import SubmitOutcome, Submitted
from taskmill.model.policies import Backoff, Jitter, Priority, RetryPolicy
from taskmill.model.record import TaskId
from taskmill.model.times import from_ms, to_ms
from taskmill.rules.options import (
    AttemptOptions,
    Placement,
    TypeDefaults,
    attempt_options,
    carried,
    placement,
    type_defaults,
)

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
NOW_MS = 1_714_564_800_000
SECOND = timedelta(seconds=1)


def defaults(
    *,
    task: TaskOptions | None = None,
    domain: TaskOptions | None = None,
    scheduler: TaskOptions | None = None,
) -> TypeDefaults:
    return type_defaults(task or {}, domain or {}, scheduler or {})


def placed(
    of: TypeDefaults | None = None,
    call: SubmitOptions | None = None,
    *,
    key: str | None = None,
    label: str | None = None,
    tags: Mapping[str, str] | None = None,
    group: str | None = None,
    now: datetime = NOW,
    carrier: Mapping[str, str] | None = None,
) -> Placement:
    """One submit; ``key``, ``label``, ``tags`` and ``group`` are what the payload's methods say."""
    return placement(
        defaults() if of is None else of,
        call or {},
        payload_key=key,
        payload_label=label,
        payload_tags=tags or {},
        payload_group=group,
        now=now,
        carrier=carrier,
    )


def attempt_of(of: TypeDefaults, call: SubmitOptions) -> AttemptOptions:
    """What holds while the task runs, read back from what its submit stored."""
    at = placed(of, call)
    return attempt_options(of, at.attempt, at.max_retries)


# --- worked examples -----------------------------------------------------------------------------


def test_the_nearest_layer_that_speaks_wins() -> None:
    of = defaults(
        scheduler={"priority": 1, "group": "s", "timeout": SECOND, "tags": {"a": "s", "b": "s"}},
        domain={"priority": 2, "group": "d", "tags": {"b": "d", "c": "d"}},
        task={"priority": 3, "tags": {"c": "t"}},
    )
    at = placed(of, {"tags": {"e": "call"}}, tags={"c": "payload", "e": "payload"}, group="p")
    assert at.priority == 3
    assert at.group == "p"
    assert at.tags == {"a": "s", "b": "d", "c": "payload", "e": "call"}
    assert of.attempt.timeout == SECOND
    assert placed(of, {"priority": 4, "group": "call"}, group="p").priority == 4
    assert placed(of, {"priority": 4, "group": "call"}, group="p").group == "call"


def test_without_a_word_from_anybody_the_built_in_options_hold() -> None:
    assert placed() == Placement(
        key=None,
        label=None,
        tags={},
        group=None,
        priority=Priority.NORMAL,
        max_retries=None,
        ready_at_ms=NOW_MS,
        due_at_ms=None,
        run_at_ms=None,
        on_duplicate=OnDuplicate.KEEP,
        requeue=True,
        unique_for_ms=None,
        expires_at_ms=None,
        ttl_ms=None,
        has_ttl=False,
        fail_fast=True,
        max_interruptions=5,
        inherits_tags=True,
        attempt=None,
    )
    assert defaults().attempt == AttemptOptions(
        timeout=None,
        retry=RetryPolicy(),
        max_retries=3,
        stop_grace=timedelta(seconds=30),
        cancel_grace=timedelta(seconds=30),
        preemptible=True,
        max_interruptions=5,
    )


def test_none_means_none_and_a_missing_key_inherits() -> None:
    of = defaults(domain={"group": "d", "timeout": SECOND, "tags": {"a": "d"}})
    assert placed(of).group == "d"
    assert placed(of, {"group": None}).group is None
    assert placed(of, {"group": None}, group="payload").group is None
    assert attempt_of(of, {}).timeout == SECOND
    assert attempt_of(of, {"timeout": None}).timeout is None
    own = defaults(domain={"group": "d", "timeout": SECOND}, task={"group": None, "timeout": None})
    assert placed(own).group is None
    assert own.attempt.timeout is None


def test_a_payload_method_that_returns_none_inherits() -> None:
    assert placed(defaults(task={"group": "class"}), group=None).group == "class"


def test_key_and_label_come_from_the_call_before_the_payload() -> None:
    at = placed(key="payload", label="payload")
    assert (at.key, at.label) == ("payload", "payload")
    at = placed(None, {"key": "call", "label": "call"}, key="payload", label="payload")
    assert (at.key, at.label) == ("call", "call")


# --- layers --------------------------------------------------------------------------------------

LAYERS = ("call", "task", "domain", "scheduler")
VALUES: Mapping[str, st.SearchStrategy[object]] = {
    "priority": st.integers(0, 255),
    "group": st.none() | st.sampled_from(("red", "green")),
    "requeue": st.booleans(),
    "timeout": st.none() | st.integers(1, 9).map(lambda number: number * SECOND),
    "stop_grace": st.integers(0, 9).map(lambda number: number * SECOND),
    "cancel_grace": st.integers(0, 9).map(lambda number: number * SECOND),
    "preemptible": st.booleans(),
    "ttl": st.none() | st.integers(1, 9).map(lambda number: number * SECOND),
    "ttl_from": st.sampled_from(TtlFrom),
    "on_duplicate": st.sampled_from(OnDuplicate),
    "unique_for": st.none() | st.integers(1, 9).map(lambda number: number * SECOND),
    "fail_fast": st.booleans(),
    "max_interruptions": st.integers(1, 9),
    "max_retries": st.integers(0, 9),
    "retry": st.integers(0, 9).map(RetryPolicy.constant),
}
BUILT_IN: Mapping[str, object] = {
    "priority": 128,
    "group": None,
    "requeue": True,
    "timeout": None,
    "stop_grace": timedelta(seconds=30),
    "cancel_grace": timedelta(seconds=30),
    "preemptible": True,
    "ttl": None,
    "ttl_from": TtlFrom.SUBMISSION,
    "on_duplicate": OnDuplicate.KEEP,
    "unique_for": None,
    "fail_fast": True,
    "max_interruptions": 5,
    "max_retries": 3,
    "retry": RetryPolicy(),
}


def resolved(name: str, of: TypeDefaults, call: SubmitOptions) -> object:
    """What becomes of one option, wherever it is looked up."""
    at, attempt = placed(of, call), attempt_of(of, call)
    found: Mapping[str, object] = {
        "priority": at.priority,
        "group": at.group,
        "requeue": at.requeue,
        "timeout": attempt.timeout,
        "stop_grace": attempt.stop_grace,
        "cancel_grace": attempt.cancel_grace,
        "preemptible": attempt.preemptible,
        "ttl": None
        if at.expires_at_ms is None
        else timedelta(milliseconds=at.expires_at_ms - NOW_MS),
        "ttl_from": _ttl_from(of, call),
        "on_duplicate": at.on_duplicate,
        "unique_for": None
        if at.unique_for_ms is None
        else timedelta(milliseconds=at.unique_for_ms),
        "fail_fast": at.fail_fast,
        "max_interruptions": at.max_interruptions,
        "max_retries": attempt.max_retries,
        "retry": attempt.retry,
    }
    return found[name]


def _ttl_from(of: TypeDefaults, call: SubmitOptions) -> TtlFrom:
    at = placed(of, {**call, "ttl": SECOND})
    assert (at.expires_at_ms is None) is (at.ttl_ms is not None)
    return TtlFrom.SUBMISSION if at.ttl_ms is None else TtlFrom.FIRST_ATTEMPT


def test_every_option_of_a_layer_is_looked_at() -> None:
    assert {*VALUES} == {*TaskOptions.__annotations__} - {"delay", "tags"}
    assert {*VALUES} == {*BUILT_IN}


@pytest.mark.parametrize("name", VALUES)
@given(data=st.data())
@settings(deadline=None, max_examples=40)
def test_each_option_is_that_of_the_nearest_layer_that_sets_it(
    name: str, data: st.DataObject
) -> None:
    said = {layer: VALUES[name] for layer in LAYERS if data.draw(st.booleans(), label=layer)}
    values = {layer: data.draw(value, label=layer) for layer, value in said.items()}
    options = {layer: {name: value} for layer, value in values.items()}
    of = defaults(
        task=cast("TaskOptions", options.get("task", {})),  # the name is one of its keys
        domain=cast("TaskOptions", options.get("domain", {})),  # as above
        scheduler=cast("TaskOptions", options.get("scheduler", {})),  # as above
    )
    call = cast("SubmitOptions", options.get("call", {}))  # as above
    expected = next((values[layer] for layer in LAYERS if layer in values), BUILT_IN[name])
    assert resolved(name, of, call) == expected


some_tags = st.dictionaries(st.sampled_from("abc"), st.sampled_from("xyz"))


@given(
    st.lists(st.none() | st.just("absent") | some_tags, min_size=3, max_size=3),
    some_tags,
    st.none() | st.just("absent") | some_tags,
)
@settings(deadline=None)
def test_tags_merge_key_by_key_and_none_drops_what_was_inherited(
    layers: list[dict[str, str] | str | None],
    payload: dict[str, str],
    called: dict[str, str] | str | None,
) -> None:
    expected: dict[str, str] = {}
    for layer in (*layers, payload, called):
        if layer is None:
            expected = {}
        elif not isinstance(layer, str):
            expected |= layer
    scheduler, domain, task, call = (
        cast("TaskOptions", {} if layer == "absent" else {"tags": layer})  # tags is a key of it
        for layer in (*layers, called)
    )
    of = defaults(task=task, domain=domain, scheduler=scheduler)
    assert placed(of, cast("SubmitOptions", call), tags=payload).tags == expected


def test_a_parents_tags_are_taken_over_unless_the_call_drops_them() -> None:
    assert placed(None, {"tags": {"a": "1"}}).inherits_tags
    assert placed(defaults(task={"tags": None})).inherits_tags
    assert not placed(None, {"tags": None}).inherits_tags


def test_the_number_of_retries_can_be_set_beside_the_policy() -> None:
    of = defaults(task={"retry": RetryPolicy.constant(5), "max_retries": 1})
    assert of.attempt.max_retries == 1
    assert attempt_of(of, {"max_retries": 2}).max_retries == 2
    assert attempt_of(of, {"max_retries": 2}).retry == RetryPolicy.constant(5)
    both = attempt_of(of, {"max_retries": 0, "retry": RetryPolicy.constant(7)})
    assert (both.max_retries, both.retry.max_retries) == (0, 7)


# --- how long --------------------------------------------------------------------------------


def test_a_time_to_live_counts_from_the_submit_or_from_the_first_attempt() -> None:
    of = defaults(domain={"ttl": 5 * SECOND})
    at = placed(of)
    assert (at.expires_at_ms, at.ttl_ms) == (NOW_MS + 5_000, None)
    at = placed(of, {"ttl_from": TtlFrom.FIRST_ATTEMPT})
    assert (at.expires_at_ms, at.ttl_ms) == (None, 5_000)
    at = placed(of, {"ttl": timedelta(microseconds=1_001)})
    assert at.expires_at_ms == NOW_MS + 2, "a started millisecond counts"


def test_a_time_to_live_counts_from_the_submit_also_of_a_task_for_later() -> None:
    at = placed(None, {"ttl": 5 * SECOND, "delay": 3 * SECOND})
    assert (at.due_at_ms, at.expires_at_ms) == (NOW_MS + 3_000, NOW_MS + 5_000)


@pytest.mark.parametrize("layer", ["task", "domain", "scheduler", "call"])
def test_whoever_says_none_leaves_no_room_for_the_time_to_live_of_a_parent(layer: str) -> None:
    none: TaskOptions = {"ttl": None}
    of = defaults(
        task=none if layer == "task" else None,
        domain=none if layer == "domain" else None,
        scheduler=none if layer == "scheduler" else None,
    )
    at = placed(of, {"ttl": None} if layer == "call" else None)
    assert (at.has_ttl, at.expires_at_ms) == (True, None)
    assert not placed().has_ttl
    assert placed(None, {"ttl": SECOND}).has_ttl


@pytest.mark.parametrize("unique_for", [None, SECOND, timedelta(microseconds=1)])
def test_how_long_completed_work_stands_is_kept_in_whole_milliseconds(
    unique_for: timedelta | None,
) -> None:
    expected = {None: None, SECOND: 1_000}.get(unique_for, 1)
    assert placed(None, {"unique_for": unique_for}).unique_for_ms == expected


# --- when ----------------------------------------------------------------------------------------


def test_a_delay_counts_from_now_and_is_rounded_up_to_a_millisecond() -> None:
    at = placed(None, {"delay": timedelta(microseconds=1_001)})
    assert (at.ready_at_ms, at.due_at_ms, at.run_at_ms) == (NOW_MS + 2,) * 3


def test_a_delay_of_a_class_holds_until_a_call_says_otherwise() -> None:
    of = defaults(task={"delay": SECOND})
    assert placed(of).due_at_ms == NOW_MS + 1_000
    assert placed(of, {"delay": timedelta(0)}).due_at_ms is None
    assert placed(of, {"run_at": NOW + 9 * SECOND}).due_at_ms == NOW_MS + 9_000


def test_run_at_is_a_moment_in_any_time_zone() -> None:
    east = timezone(timedelta(hours=5, minutes=30))
    at = placed(None, {"run_at": (NOW + SECOND).astimezone(east)})
    assert (at.ready_at_ms, at.due_at_ms, at.run_at_ms) == (NOW_MS + 1_000,) * 3


@pytest.mark.parametrize("early", [timedelta(0), SECOND, timedelta(days=20_000)])
def test_a_past_run_at_means_now(early: timedelta) -> None:
    at = placed(None, {"run_at": NOW - early})
    assert (at.ready_at_ms, at.due_at_ms) == (NOW_MS, None)
    assert at.run_at_ms == to_ms(NOW - early), "what was asked for stays on record"


def test_a_naive_run_at_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="has no time zone"):
        placed(None, {"run_at": NOW.replace(tzinfo=None)})


def test_delay_and_run_at_in_one_call_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="delay and run_at were both given"):
        placed(None, {"run_at": NOW, "delay": SECOND})


@given(st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - hypothesis wants naive bounds
@settings(deadline=None)
def test_milliseconds_are_cut_off_and_come_back_exactly(moment: datetime) -> None:
    back = from_ms(to_ms(moment))
    assert timedelta(0) <= moment - back < timedelta(milliseconds=1)
    assert to_ms(back) == to_ms(moment)


# --- what is stored for the attempts -------------------------------------------------------------

# Beyond two centuries a float of seconds no longer tells microseconds apart.
lengths = st.timedeltas(timedelta(0), MAX_LENGTH)
policies = st.builds(
    RetryPolicy,
    max_retries=st.integers(0, 10**6),
    backoff=st.sampled_from(Backoff),
    base=lengths,
    max_delay=lengths,
    multiplier=st.floats(0, 1e300),
    jitter=st.sampled_from(Jitter),
    dead_letter=st.booleans(),
)


@given(policies)
@settings(deadline=None)
def test_a_retry_policy_of_a_call_comes_back_from_the_store_as_it_was(policy: RetryPolicy) -> None:
    attempt = attempt_of(defaults(), {"retry": policy})
    assert attempt.retry == policy
    assert attempt.max_retries == policy.max_retries


@given(
    st.none() | lengths.filter(bool),
    st.just(timedelta(0)) | lengths,
    st.just(timedelta(0)) | lengths,
    st.booleans(),
    st.integers(1, 99),
    st.none() | st.integers(0, 99),
)
@settings(deadline=None)
def test_the_options_of_a_call_come_back_from_the_store_as_they_were(
    timeout: timedelta | None,
    stop_grace: timedelta,
    cancel_grace: timedelta,
    preemptible: bool,
    max_interruptions: int,
    max_retries: int | None,
) -> None:
    call: SubmitOptions = {
        "timeout": timeout,
        "stop_grace": stop_grace,
        "cancel_grace": cancel_grace,
        "preemptible": preemptible,
        "max_interruptions": max_interruptions,
    }
    if max_retries is not None:
        call["max_retries"] = max_retries
    of = defaults(domain={"timeout": SECOND, "stop_grace": SECOND, "max_retries": 5})
    assert attempt_of(of, call) == AttemptOptions(
        timeout=timeout,
        retry=RetryPolicy(),
        max_retries=5 if max_retries is None else max_retries,
        stop_grace=stop_grace,
        cancel_grace=cancel_grace,
        preemptible=preemptible,
        max_interruptions=max_interruptions,
    )


def test_a_grace_of_zero_is_none_and_comes_back_as_that() -> None:
    of = defaults(task={"stop_grace": SECOND, "cancel_grace": SECOND})
    attempt = attempt_of(of, {"stop_grace": timedelta(0), "cancel_grace": timedelta(0)})
    assert (attempt.stop_grace, attempt.cancel_grace) == (timedelta(0), timedelta(0))
    attempt = attempt_of(of, {"cancel_grace": timedelta(0)})
    assert (attempt.stop_grace, attempt.cancel_grace) == (SECOND, timedelta(0))


@given(
    carrier=st.dictionaries(st.text(), st.text()),
    call=st.sampled_from(
        (SubmitOptions(), SubmitOptions(timeout=SECOND), SubmitOptions(retry=RetryPolicy()))
    ),
)
def test_what_is_carried_comes_back_as_it_was_and_changes_no_option(
    carrier: dict[str, str], call: SubmitOptions
) -> None:
    of, plain = defaults(), placed(call=call)
    at = placed(of, call, carrier=carrier)
    assert carried(at.attempt) == carrier
    assert attempt_options(of, at.attempt, at.max_retries) == attempt_of(of, call)
    assert attrs.evolve(at, attempt=plain.attempt) == plain


def test_only_what_the_call_says_itself_is_stored() -> None:
    of = defaults(task={"timeout": SECOND, "retry": RetryPolicy.constant(1)})
    at = placed(of, {"priority": 1, "tags": {"a": "1"}})
    assert (at.attempt, at.max_retries) == (None, None)
    later = defaults(task={"timeout": 2 * SECOND})
    assert attempt_options(later, at.attempt, at.max_retries) == later.attempt


def test_a_call_inherits_retry_on_and_cannot_set_it() -> None:
    of = defaults(task={"retry": RetryPolicy(retry_on=(OSError,))})
    assert attempt_of(of, {"retry": RetryPolicy.constant(9)}).retry == RetryPolicy.constant(
        9, retry_on=(OSError,)
    )
    with pytest.raises(ConfigurationError, match="retry_on cannot be stored"):
        placed(of, {"retry": RetryPolicy(retry_on=(OSError,))})


def test_a_call_cannot_bring_a_wait_strategy_and_inherits_one() -> None:
    of = defaults(task={"retry": RetryPolicy(backoff=wait_fixed(3))})
    assert attempt_of(of, {"max_retries": 9}).retry is of.attempt.retry
    own = attempt_of(of, {"retry": RetryPolicy.constant(1)})
    assert own.retry == RetryPolicy.constant(1)
    with pytest.raises(ConfigurationError, match="a wait strategy cannot be stored with a task"):
        placed(of, {"retry": RetryPolicy(backoff=wait_fixed(3))})


# --- what is refused -----------------------------------------------------------------------------

BAD: Mapping[str, TaskOptions] = {
    "timeout is more than zero": {"timeout": timedelta(0)},
    "timeout must be a timedelta from zero": {"timeout": -SECOND},
    "timeout must be .* not 5": {"timeout": cast("timedelta", 5)},
    "delay must be a timedelta from zero": {"delay": -SECOND},
    "delay must be .* to 36525 days": {"delay": timedelta.max},
    "stop_grace must be a timedelta from zero": {"stop_grace": -SECOND},
    "cancel_grace must be a timedelta from zero": {"cancel_grace": -SECOND},
    "ttl is more than zero, or None for none": {"ttl": timedelta(0)},
    "ttl must be a timedelta from zero": {"ttl": -SECOND},
    "unique_for is more than zero, or None": {"unique_for": timedelta(0)},
    "ttl_from must be one of TtlFrom.SUBMISSION, TtlF": {"ttl_from": cast("TtlFrom", None)},
    "on_duplicate must be one of OnDuplicate.KEEP": {"on_duplicate": cast("OnDuplicate", "keep")},
    "fail_fast must be True or False": {"fail_fast": cast("bool", None)},
    "max_interruptions is a whole number from 1 .* not 0": {"max_interruptions": 0},
    "max_retries is a whole number from 0": {"max_retries": -1},
    "priority is a whole number .* not -1": {"priority": -1},
    "priority is a whole number .* not 256": {"priority": 256},
    "group must be text": {"group": ""},
}


@pytest.mark.parametrize("message", BAD)
def test_a_value_that_cannot_be_meant_is_refused_where_it_is_written(message: str) -> None:
    class Refused(DomainKey, name="refused"): ...

    bad = BAD[message]
    with pytest.raises(ConfigurationError, match=rf"Bad: {message}"):

        class Bad(Task[Refused], name="bad", **bad): ...

    with pytest.raises(ConfigurationError, match=f"domain 'refused': {message}"):
        Domain(Refused, **bad)
    with pytest.raises(ConfigurationError, match=f"this call: {message}"):
        placed(None, cast("SubmitOptions", bad))  # a call has the same keys and more


def test_the_nearest_layer_that_speaks_of_retries_says_how_many() -> None:
    policy = RetryPolicy.constant(5)
    assert defaults(task={"retry": policy}, domain={"max_retries": 2}).attempt.max_retries == 5
    assert defaults(task={"max_retries": 2}, domain={"retry": policy}).attempt.max_retries == 2
    assert defaults(domain={"retry": policy, "max_retries": 1}).attempt.max_retries == 1
    assert defaults(scheduler={"retry": policy}).attempt.max_retries == 5
    of = defaults(task={"max_retries": 2})
    assert attempt_of(of, {"retry": RetryPolicy.constant(7)}).max_retries == 7


def test_the_limits_themselves_are_fine() -> None:
    known = TaskOptions.__annotations__
    check_options({"priority": 0, "max_retries": 0, "delay": timedelta(0)}, known, "this call")
    check_options({"priority": 255, "stop_grace": timedelta(0)}, known, "this call")
    check_options({"timeout": MAX_LENGTH, "delay": MAX_LENGTH}, known, "this call")


@pytest.mark.parametrize("given", [5, "7", [object()], ["7"], [True], [1.5]])
def test_what_a_task_depends_on_is_a_list_of_ids_or_of_what_submit_returned(given: object) -> None:
    with pytest.raises(ConfigurationError, match="this call: depends_on must"):
        placed(None, cast("SubmitOptions", {"depends_on": given}))  # as an untyped caller could


def test_what_a_task_depends_on_is_named_once_each_and_in_order() -> None:
    submitted: Submitted[None] = Submitted(id=TaskId(4), outcome=SubmitOutcome.INSERTED)
    assert ids_of([TaskId(9), submitted, TaskId(4)], "depends_on") == (4, 9)
    assert ids_of((), "depends_on") == ()


def test_what_becomes_of_a_task_is_one_of_the_policies() -> None:
    placed(None, {"on_dependency_failure": OnDependencyFailure.HOLD})
    with pytest.raises(ConfigurationError, match="on_dependency_failure must be one of"):
        placed(None, cast("SubmitOptions", {"on_dependency_failure": "hold"}))  # as above


@pytest.mark.parametrize("name", SubmitOptions.__annotations__)
def test_every_option_is_checked(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"this call: {name} "):
        check_options({name: object()}, SubmitOptions.__annotations__, "this call")


def test_an_option_that_does_not_exist_is_refused() -> None:
    call = cast("SubmitOptions", {"prioritty": 1})  # as an untyped caller could
    with pytest.raises(ConfigurationError, match="unknown option prioritty"):
        placed(None, call)


def test_keys_labels_and_groups_are_text_of_bounded_length() -> None:
    long = "é" * 512
    at = placed(None, {"key": long, "label": long, "group": long})
    assert (at.key, at.label, at.group) == (long, long, long)
    with pytest.raises(ConfigurationError, match="this call: key must be text of 1 to 1024 bytes"):
        placed(None, {"key": long + "x"})
    with pytest.raises(ConfigurationError, match=r"task_key\(\) must be text"):
        placed(key="")
    with pytest.raises(ConfigurationError, match=r"task_label\(\) must be text"):
        placed(label="\ud800")


# --- tags ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("letter", ["a", "é", "€", "😀"])
def test_tags_are_limited_in_bytes_of_utf8(letter: str) -> None:
    size = len(letter.encode())
    key, value = letter * (64 // size), letter * (256 // size)
    check_tags({key: value})
    with pytest.raises(InvalidTag, match="must be text of 1 to 64 bytes"):
        check_tags({key + letter: "v"})
    with pytest.raises(InvalidTag, match="is no text of up to 256 bytes"):
        check_tags({"k": value + letter})


def test_a_tag_may_be_empty_and_its_key_may_not() -> None:
    check_tags({"k": ""})
    with pytest.raises(InvalidTag, match="tag key ''"):
        check_tags({"": "v"})


def test_a_tag_that_is_no_text_is_refused() -> None:
    with pytest.raises(InvalidTag):
        check_tags({"k": "\ud800"})
    with pytest.raises(InvalidTag):
        check_tags({"\ud800": "v"})
    with pytest.raises(InvalidTag):
        check_tags(cast("Mapping[str, str]", {"k": 1}))  # as an untyped caller could


def test_the_merged_tags_are_counted_not_those_of_one_layer() -> None:
    half = {f"class{number}": "v" for number in range(16)}
    other = {f"call{number}": "v" for number in range(16)}
    of = defaults(task={"tags": half})
    assert len(placed(of, {"tags": other}).tags) == 32
    with pytest.raises(InvalidTag, match="33 tags; a task has at most 32"):
        placed(of, {"tags": other}, tags={"one": "more"})
    with pytest.raises(InvalidTag, match="33 tags"):
        defaults(task={"tags": half}, domain={"tags": other}, scheduler={"tags": {"one": "more"}})
