"""Declarations check themselves where they are written, and register nothing."""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, ClassVar, Generic, TypeVar, cast

import attrs
import pytest

from taskmill.define.context import Context
from taskmill.define.domain import Domain, by_type
from taskmill.define.task import DomainKey, Handler, Task
from taskmill.model.errors import ConfigurationError, InvalidTag
from taskmill.model.policies import Priority, RetryPolicy
from taskmill.model.sharing import GroupPolicy


class Ingest(DomainKey, name="ingest"): ...


class Process(DomainKey, name="process"): ...


class Fetch(Task[Ingest], name="fetch", priority=Priority.HIGH, timeout=timedelta(minutes=5)):
    url: str
    depth: int = 1


class Scan(Task[Ingest, list[str]], name="scan"):
    root: str

    def task_key(self) -> str | None:
        return self.root


class Transcode(Task[Process], name="transcode"):
    source: str


class Plain(Task[Ingest], name="plain"):
    """Payloads own the plain names."""

    key: str
    tags: list[str]
    group: int
    domain: str
    label: str
    name: str
    type: str
    options: str
    id: int


async def fetch(task: Fetch, ctx: Context[Ingest]) -> None: ...


async def transcode(task: Transcode, ctx: Context[Process]) -> None: ...


def declare(
    base: object, fields: Mapping[str, object] | None = None, **keywords: object
) -> type[object]:
    """Write a class that a type checker would refuse."""

    def body(namespace: dict[str, Any]) -> None:
        namespace["__module__"] = __name__
        namespace["__annotations__"] = dict(fields or {})

    return types.new_class("Wrong", (base,), dict(keywords), body)


# --- task types ----------------------------------------------------------------------------------


def test_a_task_type_knows_its_name_domain_result_and_options() -> None:
    assert (Fetch.task_type, Fetch.task_name) == ("ingest::fetch", "fetch")
    assert Fetch.task_domain is Ingest
    assert Fetch.task_result is None
    assert Scan.task_result == list[str]
    assert Fetch.task_options == {"priority": Priority.HIGH, "timeout": timedelta(minutes=5)}
    assert Scan.task_options == {}


def test_a_payload_says_nothing_about_itself_unless_its_methods_do() -> None:
    task = Fetch(url="u")
    assert task.task_key() is None
    assert task.task_label() is None
    assert task.task_tags() == {}
    assert task.task_group() is None
    assert Scan(root="/").task_key() == "/"


def test_payloads_are_values() -> None:
    assert Fetch(url="u") == Fetch(url="u", depth=1) != Fetch(url="u", depth=2)
    assert hash(Fetch(url="u")) == hash(Fetch(url="u"))
    assert repr(Fetch(url="u")) == "Fetch(url='u', depth=1)"


def test_payloads_are_frozen() -> None:
    task = Fetch(url="u")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        task.__setattr__("url", "other")
    assert task.url == "u"


def test_payloads_are_keyword_only() -> None:
    with pytest.raises(TypeError, match="positional argument"):
        cast("Callable[..., Fetch]", Fetch)("u")  # as an untyped caller could


def test_fields_may_have_plain_names() -> None:
    task = Plain(
        key="k", tags=["t"], group=1, domain="d", label="l", name="n", type="t", options="o", id=7
    )
    assert (task.key, task.tags, task.group, task.domain) == ("k", ["t"], 1, "d")
    assert (task.label, task.name, task.type, task.options, task.id) == ("l", "n", "t", "o", 7)
    assert task.task_key() is None
    assert Plain.task_name == "plain"
    Domain(Ingest, tasks=[Plain])


@pytest.mark.parametrize("field", ["handler", "task_key", "task_type", "task_anything"])
def test_a_field_with_a_reserved_name_is_refused(field: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"Wrong\.{field}: .* rename the field"):
        declare(Task[Ingest], {"url": str, field: str}, name="wrong")


@pytest.mark.parametrize("name", ["", "a::b", "::", "a b", "a\tb", "a\n", "\u2003"])
def test_names_that_cannot_be_part_of_a_type_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="a task type cannot be named"):
        declare(Task[Ingest], name=name)
    with pytest.raises(ConfigurationError, match="a domain cannot be named"):
        declare(DomainKey, name=name)


@pytest.mark.parametrize("name", ["a", "a:b", "nightly-2", "größe", "a.b/c"])
def test_any_other_name_is_fine(name: str) -> None:
    assert getattr(declare(Task[Ingest], name=name), "task_type", None) == f"ingest::{name}"


def test_a_name_is_required() -> None:
    with pytest.raises(ConfigurationError, match=r"class Wrong\(Task\[Ingest\], name=...\)"):
        declare(Task[Ingest])
    with pytest.raises(ConfigurationError, match=r"class Wrong\(DomainKey, name=...\)"):
        declare(DomainKey)


def test_a_subclass_of_a_task_type_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="subclasses the task type Fetch"):
        declare(Fetch, name="wrong")


@pytest.mark.parametrize("base", [Task, Task[DomainKey], cast("Any", Task)[int]])
def test_a_task_type_without_a_domain_is_refused(base: object) -> None:
    with pytest.raises(ConfigurationError, match="does not say its domain"):
        declare(base, name="wrong")


def test_an_option_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"Wrong: unknown option (colour|prioritty)"):
        declare(Task[Ingest], name="wrong", prioritty=1, colour="red")
    with pytest.raises(ConfigurationError, match="domain 'ingest': unknown option prioritty"):
        cast("Callable[..., object]", Domain)(Ingest, prioritty=1)  # as an untyped caller could


def test_a_class_cannot_set_what_only_a_call_can_know() -> None:
    for option in ("key", "label", "run_at", "parent"):
        with pytest.raises(ConfigurationError, match=f"unknown option {option}"):
            declare(Task[Ingest], None, name="wrong", **{option: "x"})


def test_a_domain_key_is_never_instantiated() -> None:
    with pytest.raises(ConfigurationError, match="Ingest is an identity"):
        Ingest()
    with pytest.raises(ConfigurationError, match="DomainKey is an identity"):
        DomainKey()


# --- handlers ------------------------------------------------------------------------------------


def test_a_handler_pairs_a_type_with_a_function_and_registers_nothing() -> None:
    first, second = Fetch.handler(fetch), Fetch.handler(fetch)
    assert first == second == Handler[Ingest](task=Fetch, execute=fetch)
    assert first is not second


def test_a_handler_can_be_made_by_decorating() -> None:
    @Fetch.handler
    async def decorated(task: Fetch, ctx: Context[Ingest]) -> None: ...

    assert isinstance(decorated, Handler)
    assert decorated.task is Fetch


class AsyncCallable:
    async def __call__(self, task: Fetch, ctx: Context[Ingest]) -> None: ...

    async def method(self, task: Fetch, ctx: Context[Ingest]) -> None: ...

    def plain_method(self, task: Fetch, ctx: Context[Ingest]) -> None: ...


class PlainCallable:
    def __call__(self, task: Fetch, ctx: Context[Ingest]) -> None: ...


async def with_option(task: Fetch, ctx: Context[Ingest], *, option: int) -> None: ...


def plain(task: Fetch, ctx: Context[Ingest]) -> None: ...


def plain_with_option(task: Fetch, ctx: Context[Ingest], *, option: int) -> None: ...


@functools.wraps(fetch)
async def wrapped(task: Fetch, ctx: Context[Ingest]) -> None:
    await fetch(task, ctx)


@functools.wraps(plain)
async def around_plain(task: Fetch, ctx: Context[Ingest]) -> None:
    plain(task, ctx)


@functools.wraps(fetch)
def around_async(task: Fetch, ctx: Context[Ingest]) -> None: ...


ASYNC: Mapping[str, Callable[..., Any]] = {
    "async def": fetch,
    "wrapped async def": wrapped,
    "async def around a def": around_plain,
    "partial of an object with async __call__": functools.partial(AsyncCallable()),
    "partial of async def": functools.partial(with_option, option=1),
    "partial of a partial of async def": functools.partial(
        functools.partial(with_option), option=1
    ),
    "async method": AsyncCallable().method,
    "object with async __call__": AsyncCallable(),
}
PLAIN: Mapping[str, Callable[..., Any]] = {
    "def": plain,
    "partial of def": functools.partial(plain_with_option, option=1),
    "method": AsyncCallable().plain_method,
    "object with __call__": PlainCallable(),
    "builtin": print,
    "def around an async def": around_async,
}


@pytest.mark.parametrize("kind", ASYNC)
def test_what_is_awaited_runs_in_the_event_loop(kind: str) -> None:
    assert Handler[Ingest](task=Fetch, execute=ASYNC[kind]).is_async


@pytest.mark.parametrize("kind", PLAIN)
def test_anything_else_runs_in_a_thread(kind: str) -> None:
    assert not Handler[Ingest](task=Fetch, execute=PLAIN[kind]).is_async


# --- domains -------------------------------------------------------------------------------------


def test_a_domain_is_a_bundle_of_what_it_was_given() -> None:
    domain = Domain(
        Ingest,
        handlers=[Fetch.handler(fetch)],
        tasks=[Scan],
        state=["text", 3],
        max_concurrency=4,
        retry=RetryPolicy.constant(1),
        tags={"provider": "acme"},
        group=None,
    )
    assert (domain.key, domain.name, domain.max_concurrency) == (Ingest, "ingest", 4)
    assert list(domain.codecs) == [Fetch, Scan]
    assert domain.state == {str: "text", int: 3}
    assert domain.defaults == {
        "retry": RetryPolicy.constant(1),
        "tags": {"provider": "acme"},
        "group": None,
    }
    assert repr(domain) == "Domain('ingest', 1 handlers)"


def test_a_domain_may_be_empty() -> None:
    domain = Domain(Ingest)
    assert (domain.handlers, domain.state, domain.max_concurrency) == ((), {}, None)


def test_a_handler_or_task_of_another_domain_is_refused() -> None:
    foreign = cast("Handler[Ingest]", Transcode.handler(transcode))  # as an untyped caller could
    message = "'ingest' was given Transcode, which belongs to domain 'process'"
    with pytest.raises(ConfigurationError, match=message):
        Domain(Ingest, handlers=[foreign])
    with pytest.raises(ConfigurationError, match=message):
        Domain(Ingest, tasks=[cast("type[Fetch]", Transcode)])  # as an untyped caller could


def test_a_key_that_only_shares_the_name_is_another_domain() -> None:
    class Double(DomainKey, name="ingest"): ...

    with pytest.raises(ConfigurationError, match="belongs to domain 'ingest'"):
        Domain(Double, handlers=[cast("Handler[Double]", Fetch.handler(fetch))])  # as above


def test_a_type_is_named_once() -> None:
    handler = Fetch.handler(fetch)
    with pytest.raises(ConfigurationError, match="has 'ingest::fetch' twice"):
        Domain(Ingest, handlers=[handler, handler])
    with pytest.raises(ConfigurationError, match="has 'ingest::fetch' twice"):
        Domain(Ingest, handlers=[handler], tasks=[Fetch])
    with pytest.raises(ConfigurationError, match="has 'ingest::scan' twice"):
        Domain(Ingest, tasks=[Scan, Scan])


def test_two_types_of_one_name_are_refused() -> None:
    class Other(Task[Ingest], name="fetch"):
        n: int

    with pytest.raises(ConfigurationError, match="has 'ingest::fetch' twice"):
        Domain(Ingest, tasks=[Fetch, Other])


def test_two_states_of_one_type_are_refused() -> None:
    with pytest.raises(
        ConfigurationError, match="domain 'ingest' was given two states of type str"
    ):
        Domain(Ingest, state=["one", "two"])
    with pytest.raises(ConfigurationError, match="the scheduler was given two states of type int"):
        by_type([1, 2], "the scheduler")


def test_states_of_a_type_and_its_subclass_are_two() -> None:
    assert by_type([True, 1], "the scheduler") == {bool: True, int: 1}


@pytest.mark.parametrize("cap", [0, -1])
def test_a_cap_below_1_is_refused(cap: int) -> None:
    with pytest.raises(ConfigurationError, match=f"'ingest': max_concurrency .* got {cap}"):
        Domain(Ingest, max_concurrency=cap)
    with pytest.raises(ConfigurationError, match=f"max_concurrency must be 1 or more.* got {cap}"):
        GroupPolicy(max_concurrency=cap)


def test_a_cap_of_1_or_none_is_fine() -> None:
    assert Domain(Ingest, max_concurrency=1).max_concurrency == 1
    assert GroupPolicy(max_concurrency=1).max_concurrency == 1
    assert GroupPolicy().max_concurrency is None


def test_a_payload_field_that_cannot_be_stored_is_refused_by_the_domain() -> None:
    wrong = cast("type[Task[Ingest, Any]]", declare(Task[Ingest], {"sock": object}, name="wrong"))
    with pytest.raises(ConfigurationError, match="sock"):
        Domain(Ingest, tasks=[wrong])


# --- what is no declaration ----------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Sized:
    size: int


class Annotated:
    size: int


class Counted:
    count: ClassVar[int] = 0


def test_fields_of_an_attrs_mixin_are_fields_and_those_of_a_plain_class_are_refused() -> None:
    class Whole(Sized, Counted, Task[Ingest], name="whole"):
        url: str

    task = cast("Callable[..., Whole]", Whole)(size=1, url="u")  # mypy sees no inherited field
    assert Domain(Ingest, tasks=[Whole]).codecs[Whole].encode(task) == '{"size":1,"url":"u"}'
    with pytest.raises(ConfigurationError, match=r"Annotated\.size is annotated in a plain class"):

        class Hollow(Annotated, Task[Ingest], name="hollow"):
            url: str


@pytest.mark.parametrize("default", [[], {}, set[int](), bytearray()])
def test_a_default_that_all_tasks_would_share_is_refused(default: object) -> None:
    kind = type(default).__name__
    message = rf"Shared\.xs: .* write attrs\.field\(factory={kind}\)"
    for written in (default, attrs.field(default=default)):
        with pytest.raises(ConfigurationError, match=message):

            class Shared(Task[Ingest], name="shared"):
                xs: Any = written


def test_a_field_of_a_dataclass_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"not a dataclass; write attrs\.field"):

        class Wrong(Task[Ingest], name="wrong"):
            xs: list[int] = dataclasses.field(default_factory=list[int])


T = TypeVar("T")


def test_a_task_type_that_leaves_a_type_open_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="leaves ~T open"):

        class Open(Task[Ingest], Generic[T], name="open"):
            item: T

    with pytest.raises(ConfigurationError, match="leaves ~T open"):

        class OpenResult(Task[Ingest, T], name="open"): ...


def generator(task: Any, ctx: Any) -> Any:
    yield 1


async def async_generator(task: Any, ctx: Any) -> Any:
    yield 1


def one(task: Any) -> None: ...


def three(task: Any, ctx: Any, more: Any) -> None: ...


@pytest.mark.parametrize(
    ("execute", "message"),
    [
        (None, "must be a function of the task and the context, not None"),
        ("send", "must be a function"),
        (generator, "yields"),
        (async_generator, "yields"),
        (functools.partial(generator), "yields"),
        (one, "is called with the task and the context, .* too many positional"),
        (three, "is called with the task and the context, .* missing .*'more'"),
    ],
)
def test_a_function_that_cannot_be_a_handler_is_refused(execute: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"the handler of 'ingest::fetch' {message}"):
        Fetch.handler(execute)


@pytest.mark.parametrize(
    "execute", [functools.partial(three, 1), AsyncCallable(), AsyncCallable().method, print]
)
def test_whatever_takes_a_task_and_a_context_can_be_a_handler(execute: Any) -> None:
    assert Fetch.handler(execute).task is Fetch


def test_the_base_has_no_handler() -> None:
    base: Any = Task
    with pytest.raises(ConfigurationError, match=r"@Send\.handler"):
        base.handler(fetch)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"handlers": [fetch]}, r"is no handler; write @Send\.handler above"),
        ({"handlers": Fetch.handler(fetch)}, "handlers must be a list"),
        ({"tasks": Fetch}, "tasks must be a list"),
        ({"tasks": [Fetch(url="u")]}, "tasks takes a task class"),
        ({"tasks": [Task]}, "tasks takes a task class"),
        ({"state": 5}, "state must be a list"),
        ({"state": "text"}, "state must be a list"),
        ({"state": [dict]}, "the state dict is a class; pass an instance"),
        ({"tags": ["a"]}, "tags must be a mapping"),
        ({"max_concurrency": "4"}, "max_concurrency must be 1 or more"),
        ({"retry": 3}, "retry must be a RetryPolicy"),
        ({"requeue": "no"}, "requeue must be True or False"),
    ],
)
def test_a_domain_of_the_wrong_things_is_refused(given: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{message}"):
        Domain(Ingest, **given)


def test_a_tag_of_a_domain_is_checked_there() -> None:
    wrong: Any = {"a": 1}
    with pytest.raises(InvalidTag):
        Domain(Ingest, tags=wrong)


@pytest.mark.parametrize("key", ["ingest", DomainKey, Fetch, None])
def test_a_domain_is_named_by_its_key(key: Any) -> None:
    with pytest.raises(ConfigurationError, match="a domain is named by its key, a class such as"):
        Domain(key)


def test_a_name_is_text() -> None:
    with pytest.raises(ConfigurationError, match="cannot be named 5"):
        declare(Task[Ingest], name=5)
    with pytest.raises(ConfigurationError, match="cannot be named 5"):
        declare(DomainKey, name=5)
