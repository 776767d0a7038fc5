"""Which executor runs a task type, and what is refused when the scheduler is made."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from taskmill import (
    ConfigurationError,
    Context,
    Domain,
    DomainKey,
    InvalidState,
    ProcessExecutor,
    Route,
    Routing,
    Scheduler,
    Task,
    ThreadExecutor,
    TypeRoute,
)
from tests.remote.executor import RemoteExecutor


class Ml(DomainKey, name="ml"): ...


class Train(Task[Ml], name="train_model"): ...


class Predict(Task[Ml], name="predict"): ...


class Audit(Task[Ml], name="audit_log", executor="low"): ...


@Train.handler
def train(task: Train, ctx: Context[Ml]) -> None: ...


@Predict.handler
async def predict(task: Predict, ctx: Context[Ml]) -> None: ...


@Audit.handler
def audit(task: Audit, ctx: Context[Ml]) -> None: ...


def routes_of(*handlers: Any, **options: Any) -> dict[str, TypeRoute]:
    scheduler = Scheduler(":memory:", domains=[Domain(Ml, handlers=handlers)], **options)
    return {route.type: route for route in scheduler.routes()}


def refused(*handlers: Any, **options: Any) -> str:
    with pytest.raises(ConfigurationError) as raised:
        routes_of(*handlers, **options)
    return str(raised.value)


def test_without_rules_the_kind_of_the_handler_decides() -> None:
    routes = routes_of(train, predict)
    assert {name: route.executor for name, route in routes.items()} == {
        "ml::train_model": "thread",
        "ml::predict": "inline",
    }
    assert str(routes["ml::predict"]) == (
        "ml::predict runs on 'inline', by its handler, which is async def"
    )


def test_a_class_beats_the_rules_and_the_rules_the_default() -> None:
    routes = routes_of(
        train,
        audit,
        executors={"low": ThreadExecutor(1), "gpu": ProcessExecutor(1)},
        routing=Routing("thread", [Route("train_*", "gpu"), Route("ml::*", "gpu")]),
    )
    assert routes["ml::train_model"].by == "rule 1, 'train_*'"
    assert routes["ml::train_model"].executor == "gpu"
    assert (routes["ml::audit_log"].executor, routes["ml::audit_log"].by) == ("low", "its class")


def test_the_default_takes_what_no_rule_matches() -> None:
    route = routes_of(train, routing=Routing("process"))["ml::train_model"]
    assert (route.executor, route.by) == ("process", "the default")


def test_an_unknown_executor_is_refused_wherever_it_is_named() -> None:
    rules = Routing(rules=[Route("ml::*", "gqu")])
    text = refused(train, routing=rules, executors={"gpu": ThreadExecutor()})
    assert text == (
        "rule 1 of the routing, 'ml::*' -> 'gqu', names the executor 'gqu', and there is none; did "
        "you mean 'gpu'? there are 'gpu', 'inline', 'process', 'thread': add it to "
        "Scheduler(executors={'gqu': ...})"
    )
    assert "the default of the routing names the executor 'far'" in refused(
        train, routing=Routing("far")
    )
    assert "Audit(executor=...) names the executor 'low'" in refused(audit)
    assert "the fallback of executor 'far' names the executor 'gone'" in refused(
        train, executors={"far": RemoteExecutor(fallback="gone")}
    )


def test_an_executor_that_cannot_run_the_handler_is_refused_with_the_reason() -> None:
    assert refused(train, routing=Routing(rules=[Route("train_*", "inline")])) == (
        "'ml::train_model' is to run on 'inline', by rule 1, 'train_*': the handler of "
        "'ml::train_model' is a plain function, which would block the event loop: run it on "
        "'thread' or 'process', or make it async def"
    )
    assert "is async def, which runs in the event loop" in refused(
        predict, routing=Routing("thread")
    )
    assert "is async def, which runs in the event loop" in refused(
        predict, routing=Routing("process")
    )


def test_a_fallback_has_to_be_able_to_run_the_handler_as_well() -> None:
    text = refused(
        train,
        executors={"far": RemoteExecutor(fallback="inline")},
        routing=Routing(rules=[Route("ml::*", "far")]),
    )
    assert "on 'far', by rule 1, 'ml::*', whose fallback is 'inline': the handler of" in text


def test_fallbacks_that_go_in_a_circle_are_refused() -> None:
    text = refused(
        train,
        executors={"a": RemoteExecutor(fallback="b"), "b": RemoteExecutor(fallback="a")},
    )
    assert "the fallbacks of executors go in a circle: 'a' -> 'b' -> 'a'" in text


def test_a_handler_that_no_other_process_would_find_is_refused() -> None:
    class Local(Task[Ml], name="local"): ...

    @Local.handler
    def local(task: Local, ctx: Context[Ml]) -> None: ...

    assert "Local cannot be found by its name" in refused(local, routing=Routing("process"))

    @Train.handler
    def inner(task: Train, ctx: Context[Ml]) -> None: ...

    text = refused(inner, routing=Routing("process"))
    assert "define it at the top level of a module" in text


def test_rules_that_decide_nothing_are_reported_with_what_they_may_have_meant(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rules = [Route("ml::trian_*", "thread"), Route("ml::train_*", "thread")]
    with caplog.at_level(logging.WARNING, "taskmill.routing"):
        routes_of(train, predict, routing=Routing(rules=rules))
    assert caplog.messages == [
        (
            "Rule 1, 'ml::trian_*' -> 'thread', matches no task type; the nearest are "
            "ml::train_model and ml::predict."
        )
    ]


def test_rules_cannot_be_added_once_a_scheduler_has_been_made() -> None:
    routing = Routing()
    scheduler = Scheduler(":memory:", domains=[Domain(Ml, handlers=[train])], routing=routing)
    with pytest.raises(InvalidState, match="would change nothing"):
        routing.add_rule(Route("ml::*", "thread"))
    assert scheduler.routing is routing
    assert "so the kind of its handler decides" in str(scheduler.routing.explain("ml::predict"))
