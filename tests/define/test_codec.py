"""Payloads and results come back exactly as they were, or are refused with the field's name."""

from __future__ import annotations

import enum
import json
import math
import subprocess
import sys
import threading
import types
from collections.abc import (
    Callable,
    Generator,
    Mapping,
    Sequence,
)
from collections.abc import Set as AbstractSet
from dataclasses import InitVar, dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path, PurePath, PureWindowsPath
from typing import (
    IO,
    TYPE_CHECKING,
    Any,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    TypedDict,
    TypeVar,
    cast,
)
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskmill.define.codec import Codec
from taskmill.define.codec.codec import MAX_BYTES
from taskmill.define.task import DomainKey, Task
from taskmill.model.errors import ConfigurationError, PayloadError, PayloadTooLarge

if TYPE_CHECKING:
    from fractions import Fraction

T = TypeVar("T")
UserId = NewType("UserId", int)


class Ingest(DomainKey, name="ingest"): ...


class Colour(enum.Enum):
    RED = enum.auto()
    GREEN = "green"
    VERMILION = RED


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Mode(enum.StrEnum):
    FAST = "fast"
    SLOW = "slow"


class Access(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()


@attrs.frozen
class Box(Generic[T]):
    item: T


@attrs.frozen
class Labelled(Box[list[T]], Generic[T]):
    label: str
    also: T


@attrs.define
class Circle:
    radius: float
    _secret: int = 0


@dataclass
class Square:
    side: int
    names: list[str] = field(default_factory=list[str])
    area: int = field(init=False)

    def __post_init__(self) -> None:
        self.area = self.side * self.side


@attrs.frozen
class Node:
    name: str
    children: list[Node] = attrs.Factory(list["Node"])


class Point(NamedTuple):
    x: int
    y: int = 0


class Movie(TypedDict):
    title: str
    year: NotRequired[int]


@attrs.frozen
class Positive:
    number: int = attrs.field(validator=attrs.validators.gt(0))


class Json(Task[Ingest, "dict[str, Node]"], name="json"):
    it: Nested


Nested = dict[str, "Nested"] | list["Nested"] | str | int | None


class Plain(Task[Ingest], name="plain"):
    url: str
    tries: int = 3
    ratio: float = 0.5
    active: bool = True
    note: str | None = None


ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3)
    ),
    max_leaves=6,
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
ZONES = st.none() | st.sampled_from(
    [UTC, timezone(timedelta(hours=-3, seconds=5)), ZoneInfo("Europe/Berlin")]
)
DATETIMES = st.datetimes(timezones=ZONES)
NODES = st.recursive(
    st.builds(Node, TEXT), lambda inner: st.builds(Node, TEXT, st.lists(inner, max_size=3))
)
DATES_AS_TEXT = st.datetimes().map(datetime.isoformat)
KINDS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (None, st.none()),
    (bool, st.booleans()),
    (int, st.integers() | st.just(10**400)),
    (float, FLOATS | st.just(-0.0)),
    (str, TEXT),
    (bytes, st.binary(max_size=8)),
    (Decimal, st.decimals(allow_nan=False, allow_infinity=False)),
    (UUID, st.uuids()),
    (datetime, DATETIMES),
    (date, st.dates()),
    (time, st.times(timezones=ZONES)),
    (timedelta, st.timedeltas()),
    (Path, TEXT.map(Path)),
    (PurePath, TEXT.map(PurePath)),
    (PureWindowsPath, TEXT.map(PureWindowsPath)),
    (Any, ANY_JSON),
    (Colour, st.sampled_from(Colour)),
    (Level, st.sampled_from(Level)),
    (Mode, st.sampled_from(Mode)),
    (Access, st.sampled_from([Access(0), Access.READ, Access.READ | Access.WRITE])),
    (UserId, st.integers()),
    (Literal["a", 1, True, Colour.RED, None], st.sampled_from(["a", 1, True, Colour.RED, None])),
    (int | bool | float | str | None, st.integers() | st.booleans() | FLOATS | TEXT | st.none()),
    (str | datetime | None, TEXT | DATES_AS_TEXT | DATETIMES | st.none()),
    (int | timedelta | bytes | str, st.integers() | st.timedeltas() | st.binary() | TEXT),
    (Mode | str, st.sampled_from(Mode) | st.sampled_from(["fast", "FAST"])),
    (date | datetime | None, st.dates() | DATETIMES | st.none()),
    (dict[str, int] | str, st.just({"dict": 1}) | TEXT),
    (list[datetime | None], st.lists(st.none() | DATETIMES, max_size=3)),
    (tuple[int, ...], st.lists(st.integers(), max_size=3).map(tuple)),
    (tuple[int, str, Colour], st.tuples(st.integers(), TEXT, st.sampled_from(Colour))),
    (tuple[()], st.just(())),
    (set[int], st.sets(st.integers(), max_size=4)),
    (frozenset[str | int], st.frozensets(TEXT | st.integers(), max_size=4)),
    (set[tuple[int, date]], st.sets(st.tuples(st.integers(), st.dates()), max_size=3)),
    (Sequence[int], st.lists(st.integers()) | st.lists(st.integers()).map(tuple)),
    (AbstractSet[int], st.sets(st.integers()) | st.frozensets(st.integers())),
    (Mapping[str, float], st.dictionaries(TEXT, FLOATS, max_size=3)),
    (dict[int, str], st.dictionaries(st.integers(), TEXT, max_size=3)),
    (dict[Colour, int], st.dictionaries(st.sampled_from(Colour), st.integers())),
    (dict[UUID, Path], st.dictionaries(st.uuids(), TEXT.map(Path), max_size=3)),
    (dict[date, bool], st.dictionaries(st.dates(), st.booleans(), max_size=3)),
    (dict[Path, None], st.dictionaries(TEXT.map(Path), st.none(), max_size=3)),
    (dict[str | int | None, int], st.dictionaries(TEXT | st.integers() | st.none(), st.integers())),
    (dict[tuple[int, str], int], st.dictionaries(st.tuples(st.integers(), TEXT), st.integers())),
    (dict[float, timedelta], st.dictionaries(FLOATS, st.timedeltas(), max_size=3)),
    (Box[int], st.integers().map(Box)),
    (Box[Box[date]], st.dates().map(lambda day: Box(Box(day)))),
    (Labelled[date], st.builds(Labelled, st.lists(st.dates(), max_size=2), TEXT, st.dates())),
    (Circle, st.builds(Circle, FLOATS, st.integers())),
    (Square, st.builds(Square, st.integers(), st.lists(TEXT, max_size=2))),
    (Circle | Square | None, st.just(Circle(1.5)) | st.just(Square(2)) | st.none()),
    (list[Circle | Square | int], st.lists(st.just(Circle(1.5)) | st.just(Square(2)) | st.just(3))),
    (Node, NODES),
    (Node | Point | str, NODES | st.builds(Point, st.integers(), st.integers()) | TEXT),
    (Point, st.builds(Point, st.integers(), st.integers())),
    (Movie, st.just({"title": "M"}) | st.just({"title": "M", "year": 1931})),
    ("Nested", st.just({"a": [1, {"b": None}, "c"]})),
]


def codec_of(annotation: Any) -> tuple[type[Any], Codec]:
    """Return a payload class with one field ``it``, and its codec."""

    def body(namespace: dict[str, Any]) -> None:
        namespace["__annotations__"] = {"it": annotation}
        namespace["__module__"] = __name__

    made = types.new_class("Made", (Task[Ingest],), {"name": "made"}, body)
    return made, Codec(made)


CODECS = [(*codec_of(annotation), values) for annotation, values in KINDS]


def shape_of(value: Any) -> object:
    """Return the value with every type in it spelled out, as == ignores 1, 1.0 and True."""
    kind: type[Any] = value.__class__
    if kind in {list, tuple, Point}:
        return kind, [shape_of(item) for item in value]
    if kind in {set, frozenset}:
        return kind, sorted(repr(shape_of(item)) for item in value)
    if kind is dict:
        return kind, sorted(repr((shape_of(key), shape_of(value[key]))) for key in value)
    if attrs.has(kind):
        return kind, [shape_of(getattr(value, part.name)) for part in attrs.fields(kind)]
    return kind, repr(value)


@settings(max_examples=1500, deadline=None)
@given(st.data())
def test_every_storable_value_comes_back_equal_and_with_its_exact_type(data: st.DataObject) -> None:
    made, codec, values = data.draw(st.sampled_from(CODECS))
    payload = made(it=data.draw(values))
    text = codec.encode(payload)
    back = codec.decode(text)
    assert back == payload
    assert shape_of(back) == shape_of(payload)
    assert codec.encode(back) == text


@pytest.mark.parametrize(("annotation", "values"), KINDS, ids=lambda kind: str(kind)[:40])
def test_each_kind_of_value_is_also_a_result(annotation: Any, values: Any) -> None:
    if annotation is None:
        return

    class Made(Task[Ingest], name="made"): ...

    Made.task_result = annotation
    codec = Codec(Made)

    @settings(max_examples=3, deadline=None, database=None)
    @given(values)
    def check(value: object) -> None:
        assert codec.decode_result(codec.encode_result(value)) == value

    check()


def test_the_json_is_canonical() -> None:
    assert Codec(Plain).encode(Plain(url="ä")) == (
        '{"active":true,"note":null,"ratio":0.5,"tries":3,"url":"ä"}'
    )
    made, codec = codec_of(dict[str, set[int]])
    assert codec.encode(made(it={"b": {3, 1, 2}, "a": set()})) == '{"it":{"a":[],"b":[1,2,3]}}'


def test_the_json_does_not_depend_on_the_hash_seed() -> None:
    program = """
from taskmill.define.codec import Codec
from taskmill.define.task import DomainKey, Task
class D(DomainKey, name="d"): ...
class Tagged(Task[D], name="t"):
    tags: set[str]
    pairs: frozenset[tuple[str, int]]
    counts: dict[str, int]
words = {f"word{n}" for n in range(20)}
task = Tagged(tags=words, pairs=frozenset((w, 1) for w in words), counts=dict.fromkeys(words, 1))
print(Codec(Tagged).encode(task))
"""
    texts = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[1])},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(texts) == 1
    assert json.loads(texts.pop())["tags"] == sorted(f"word{n}" for n in range(20))


def test_an_int_in_a_float_field_is_stored_as_the_float_it_equals() -> None:
    codec = Codec(Plain)
    assert codec.encode(Plain(url="", ratio=1)) == codec.encode(Plain(url="", ratio=1.0))
    assert type(codec.decode('{"url":"","ratio":1}').ratio) is float
    with pytest.raises(PayloadError, match=r"Plain\.ratio: .*no float equals"):
        codec.encode(Plain(url="", ratio=2**53 + 1))


def test_an_int_stays_an_int_where_the_union_has_both() -> None:
    made, codec = codec_of(int | float)
    assert type(codec.decode(codec.encode(made(it=1))).it) is int
    assert type(codec.decode(codec.encode(made(it=1.0))).it) is float


def test_a_stored_zone_survives_and_keeps_the_second_of_two_equal_times() -> None:
    made, codec = codec_of(datetime)
    late = datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin"))
    back = codec.decode(codec.encode(made(it=late))).it
    assert (back.fold, back.tzinfo, back.utcoffset()) == (1, late.tzinfo, timedelta(hours=1))


def test_a_zone_whose_rules_changed_keeps_the_instant() -> None:
    codec = codec_of(datetime)[1]
    back = codec.decode('{"it":"2026-07-01T12:00:00+05:00[Europe/Berlin]"}').it
    assert back == datetime(2026, 7, 1, 7, tzinfo=UTC)
    assert back.tzinfo == ZoneInfo("Europe/Berlin")


class Lookalike(str):
    __slots__ = ()


class Disc(Circle): ...


@pytest.mark.parametrize(
    ("annotation", "value", "message"),
    [
        (int, "1", r"Made\.it: expects int, got '1' \(str\)"),
        (int, True, r"Made\.it: expects int, got True \(bool\)"),
        (int, Level.LOW, r"Made\.it: expects int, got .*\(Level\)"),
        (str, Lookalike("x"), r"Made\.it: expects str, got 'x' \(Lookalike\)"),
        (str, None, r"Made\.it: expects str, got None"),
        (str, "\ud800", r"Made\.it: cannot be JSON in UTF-8"),
        (dict[str, int], {"\ud800": 1}, r"Made\.it\['\\ud800'\]: cannot be JSON in UTF-8"),
        (list[Any], [0, {"a": "\udfff"}], r"Made\.it\[1\]\.a: cannot be JSON"),
        (float, math.nan, r"Made\.it: holds nan"),
        (float, math.inf, r"Made\.it: holds inf"),
        (float, 10**400, r"Made\.it: .*larger than any float"),
        (Decimal, Decimal("NaN"), r"Made\.it: holds NaN"),
        (Any, [1, (2,)], r"Made\.it\[1\]: expects plain JSON"),
        (Any, {"a": [math.nan]}, r"Made\.it\['a'\]\[0\]: holds nan"),
        (Any, {1: 2}, r"Made\.it\[1\]: expects a str as key"),
        (Any, Level.LOW, r"Made\.it: expects plain JSON"),
        (list[int], (1,), r"Made\.it: expects list of int, got \(1,\) \(tuple\)"),
        (list[int], [1, "2"], r"Made\.it\[1\]: expects int"),
        (tuple[int, str], (1,), r"Made\.it: expects tuple of 2"),
        (tuple[int, str], (1, 2), r"Made\.it\[1\]: expects str"),
        (set[int], {"a"}, r"Made\.it\[0\]: expects int"),
        (dict[str, list[int]], {"a": [None]}, r"Made\.it\['a'\]\[0\]: expects int"),
        (dict[date, int], {"today": 1}, r"Made\.it\['today'\]: as a key expects date"),
        (Sequence[str], "abc", r"Made\.it: expects list \| tuple, got 'abc'"),
        (int | str, 1.5, r"Made\.it: expects int \| str, got 1.5"),
        (Literal["a", "b"], "c", r"Made\.it: expects one of 'a', 'b', got 'c'"),
        (Colour, "RED", r"Made\.it: expects Colour, got 'RED'"),
        (Access, 1, r"Made\.it: expects Access, got 1"),
        (timedelta, 1, r"Made\.it: expects timedelta, got 1"),
        (date, datetime(2026, 1, 1), r"Made\.it: expects date, got datetime"),  # noqa: DTZ001
        (Circle, Disc(1.0), r"Made\.it: expects Circle, got .*\(Disc\)"),
        (Circle, Circle("r"), r"Made\.it\.radius: expects float"),  # type: ignore[arg-type] # wrong on purpose
        (Movie, {"title": "M", "stars": 1}, r"Made\.it\.stars: is a field that Movie does not"),
        (Movie, {}, r"Made\.it\.title: is missing"),
        (Node, Node("a", [Node(1)]), r"Made\.it\.children\[0\]\.name: expects str"),  # type: ignore[arg-type] # wrong on purpose
    ],
)
def test_a_value_that_would_not_come_back_is_refused_with_its_path(
    annotation: Any, value: object, message: str
) -> None:
    made, codec = codec_of(annotation)
    with pytest.raises(PayloadError, match=message):
        codec.encode(made(it=value))


def test_an_int_of_more_digits_than_python_reads_back_is_refused() -> None:
    huge = 10**5000
    for annotation, value, message in (
        (int, huge, r"Made\.it: cannot be JSON"),
        (str, huge, r"Made\.it: expects str, got a int with more digits"),
        (set[int], {huge}, r"Made\.it: has an item that JSON cannot hold"),
        (dict[int, int], {huge: 1}, r"Made\.it\[.*\]: as a key cannot be JSON"),
    ):
        made, codec = codec_of(annotation)
        with pytest.raises(PayloadError, match=message):
            codec.encode(made(it=value))


@pytest.mark.parametrize(
    ("annotation", "stored", "message"),
    [
        (int, '"1"', r"Made\.it: expects int, got '1' \(str\)"),
        (int, "true", r"Made\.it: expects int, got True"),
        (float, "1e999", r"Made\.it: expects float, got inf"),
        (datetime, '"yesterday"', r"Made\.it: expects datetime as text, got 'yesterday'"),
        (datetime, '"2026-01-01T00:00:00+01:00[No/Where]"', r"Made\.it: expects datetime as text"),
        (datetime, '"2026-01-01T00:00:00[UTC]"', r"Made\.it: expects datetime as text"),
        (Decimal, '"NaN"', r"Made\.it: expects Decimal as text"),
        (Decimal, '"x"', r"Made\.it: expects Decimal as text"),
        (UUID, '"x"', r"Made\.it: expects UUID as text"),
        (bytes, '"%"', r"Made\.it: expects bytes as text"),
        (date, "5", r"Made\.it: expects date as text, got 5"),
        (timedelta, "1e3", r"Made\.it: expects timedelta in microseconds"),
        (timedelta, str(10**30), r"Made\.it: expects timedelta in microseconds"),
        (Colour, '"BLUE"', r"Made\.it: expects the name of a Colour \(RED, GREEN, VERMILION\)"),
        (Access, "64", r"Made\.it: expects the number of a Access"),
        (None, "1", r"Made\.it: expects None, got 1"),
        (list[int], '"12"', r"Made\.it: expects list of int, got '12'"),
        (list[int], '[1,"2"]', r"Made\.it\[1\]: expects int"),
        (set[Any], "[[]]", r"Made\.it: has an item that cannot be in a set"),
        (dict[int, int], '{"a":1}', r"Made\.it\['a'\]: as a key is not int"),
        (dict[Any, int], '{"[]":1}', r"Made\.it\['\[\]'\]: as a key is not Any"),
        (int | datetime, '"2026-01-01"', r"Made\.it: expects int \| datetime, got '2026-01-01'"),
        (Circle | Square, '{"Blob":{}}', r"Made\.it: expects Circle \| Square"),
        (Circle, "[]", r"Made\.it: expects Circle as an object"),
        (Circle, '{"_secret":1}', r"Made\.it\.radius: is missing"),
        (Circle, '{"radius":1.0,"hue":3}', r"Made\.it\.hue: is a field that Circle does not have"),
        (Positive, '{"number":-1}', r"Made\.it: Positive refuses its fields: ValueError"),
        (Movie, '{"title":1}', r"Made\.it\.title: expects str"),
        (Literal["a"], '"b"', r"Made\.it: expects one of 'a', got 'b'"),
        (float, "NaN", r"Made: what is stored is not JSON: NaN"),
        (float, "", r"Made: what is stored is not JSON"),
    ],
)
def test_stored_json_that_does_not_fit_any_more_names_the_field(
    annotation: Any, stored: str, message: str
) -> None:
    with pytest.raises(PayloadError, match=message):
        codec_of(annotation)[1].decode(f'{{"it":{stored}}}')


def test_fields_that_came_or_went_since_the_payload_was_stored() -> None:
    codec = Codec(Plain)
    assert codec.decode('{"url":"x"}') == Plain(url="x")
    with pytest.raises(PayloadError, match=r"Plain\.url: is missing, and Plain has no default"):
        codec.decode("{}")
    with pytest.raises(PayloadError, match=r"Plain\.depth: is a field that Plain does not have"):
        codec.decode('{"url":"x","depth":1}')
    with pytest.raises(PayloadError, match="Plain: expects Plain as an object"):
        codec.decode("[]")


def test_a_refusing_validator_is_the_cause_of_the_error() -> None:
    with pytest.raises(PayloadError) as caught:
        codec_of(list[Positive])[1].decode('{"it":[{"number":-1}]}')
    assert isinstance(caught.value.__cause__, ValueError)


def test_another_payload_class_is_refused() -> None:
    with pytest.raises(PayloadError, match="Plain: expects Plain"):
        Codec(Plain).encode(codec_of(int)[0](it=1))


def test_the_limit_is_counted_in_bytes_of_utf8() -> None:
    made, codec = codec_of(str)
    rest = len('{"it":""}')
    assert len(codec.encode(made(it="a" * (MAX_BYTES - rest)))) == MAX_BYTES
    with pytest.raises(PayloadTooLarge, match="is 1,048,577 bytes as JSON, the limit is 1,048,576"):
        codec.encode(made(it="a" * (MAX_BYTES - rest + 1)))
    with pytest.raises(PayloadTooLarge):
        codec.encode(made(it="ä" * (MAX_BYTES // 2)))


def test_a_value_that_contains_itself_and_json_without_end_are_refused() -> None:
    root = Node("root")
    root.children.append(root)
    made, codec = codec_of(Node)
    with pytest.raises(PayloadError, match="nested too deeply, or contains itself"):
        codec.encode(made(it=root))
    deep = '{"name":"","children":[' * 5000 + "]}" * 5000
    with pytest.raises(PayloadError, match="nested too deeply"):
        codec.decode(f'{{"it":{deep}}}')


def test_a_wrong_leaf_deep_in_a_tree_is_found_in_linear_time() -> None:
    tree = Node(1)  # type: ignore[arg-type] # wrong on purpose
    for _ in range(60):
        tree = Node("", [tree])
    made, codec = codec_of(Node)
    with pytest.raises(PayloadError, match=r"(\.children\[0\]){60}\.name: expects str"):
        codec.encode(made(it=tree))


@pytest.mark.parametrize("leaf", ["\ud800", math.nan])
def test_an_error_is_short_however_long_the_way_to_it_is(leaf: object) -> None:
    made, codec = codec_of(Any)
    value = {"\N{COLLISION SYMBOL}" * 5000: leaf}
    for _ in range(60):
        value = {"a" * 5000: value}
    with pytest.raises(PayloadError) as caught:
        codec.encode(made(it=value))
    assert len(str(caught.value)) < 1200


@attrs.frozen
class Growing(Generic[T]):
    inner: Growing[Growing[T]] | None


def test_a_generic_class_that_grows_within_itself_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="ever larger arguments"):
        codec_of(Growing[int])


class Opaque: ...


@pytest.mark.parametrize(
    ("annotation", "shown"),
    [
        ("threading.Lock", "lock"),
        (IO[str], "IO"),
        (Callable[[], int], "Callable"),
        (Generator[int, None, None], "Generator"),
        (object, "object"),
        (Opaque, "Opaque"),
        (list[dict[str, Opaque]], "Opaque"),
        (int | Opaque, "Opaque"),
        (type[int], "type"),
        (complex, "complex"),
        ([int], "int"),
        (enum.Enum, "Enum"),
    ],
)
def test_a_type_that_cannot_be_stored_is_refused_when_the_codec_is_made(
    annotation: Any, shown: str
) -> None:
    with pytest.raises(ConfigurationError, match=rf"Made\.it: .*{shown}.*cannot be stored.*use "):
        codec_of(annotation)


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (list[int] | list[str], "cannot be told apart .*'list'"),
        (Box[int] | Box[str], "cannot be told apart .*'Box'"),
        (Movie | dict[str, int], "cannot be told apart"),
        (Any | datetime, "Any cannot be told apart"),
        ("list[Missing]", r"'Missing' in the annotation 'list\[Missing\]' cannot be resolved"),
        ("math.missing", "cannot be resolved"),
        ("int |", "cannot be resolved"),
    ],
)
def test_an_annotation_without_one_meaning_is_refused_with_its_field(
    annotation: Any, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=rf"Made\.it: .*{message}"):
        codec_of(annotation)


def test_a_wrong_field_of_a_nested_class_is_named_with_its_own_class() -> None:
    @attrs.frozen
    class Holder:
        lock: threading.Thread

    with pytest.raises(ConfigurationError, match=r"Holder\.lock: .*Thread cannot be stored"):
        codec_of(list[Holder])


def test_a_name_imported_for_type_checkers_only_is_named_in_the_error() -> None:
    class Late(Task[Ingest], name="late"):
        share: Fraction

    with pytest.raises(ConfigurationError, match=r"Late\.share: 'Fraction' .*TYPE_CHECKING"):
        Codec(Late)


def test_a_name_local_to_a_function_is_named_in_the_error() -> None:
    class Hidden: ...

    class Local(Task[Ingest], name="local"):
        it: Hidden

    with pytest.raises(ConfigurationError, match=r"Local\.it: 'Hidden' .*not inside a function"):
        Codec(Local)


def test_a_class_local_to_a_function_may_contain_itself_and_its_own_classes() -> None:
    @attrs.frozen
    class Tree:
        branches: list[Tree]

    class Local(Task[Ingest], name="local"):
        @attrs.frozen
        class Options:
            depth: int

        options: Options

    made, codec = codec_of(Tree)
    tree = made(it=Tree([Tree([])]))
    assert codec.decode(codec.encode(tree)) == tree
    local = Local(options=Local.Options(depth=1))
    assert Codec(Local).decode(Codec(Local).encode(local)) == local


def test_an_init_variable_and_a_field_without_annotation_are_refused() -> None:
    @dataclass
    class Seeded:
        seed: InitVar[int]

    @attrs.define(these={"bare": attrs.field()})
    class Unannotated: ...

    with pytest.raises(ConfigurationError, match=r"Seeded\.seed is an InitVar"):
        codec_of(Seeded)
    with pytest.raises(ConfigurationError, match=r"Unannotated\.bare has no annotation"):
        codec_of(Unannotated)


def test_fields_may_have_any_name() -> None:
    class Odd(Task[Ingest], name="odd"):
        cl: str
        attrs: int
        converter: int
        typevar_map: int
        instance: int
        o: int
        _private: int

    names = {"attrs": 1, "converter": 2, "typevar_map": 3, "instance": 4, "o": 5, "private": 6}
    odd = Odd(cl="", **cast("Any", names))  # type checkers do not know that attrs drops the _
    assert Codec(Odd).decode(Codec(Odd).encode(odd)) == odd


def test_recursive_results_named_as_text_are_resolved_in_the_module_of_the_class() -> None:
    codec = Codec(Json)
    value = {"a": Node("b", [Node("c")])}
    assert codec.decode_result(codec.encode_result(value)) == value
    with pytest.raises(PayloadError, match=r"result of Json\['a'\]\.name: expects str"):
        codec.decode_result('{"a":{"name":1}}')
    with pytest.raises(PayloadError, match="result of Json: expects dict from str to Node"):
        codec.encode_result([])


def test_a_type_without_a_result_stores_none_and_accepts_nothing_else() -> None:
    codec = Codec(Plain)
    assert codec.encode_result(None) is None
    assert codec.decode_result(None) is None
    with pytest.raises(PayloadError, match=r"result of Plain: expects None, got int; .* no result"):
        codec.encode_result(1)
    with pytest.raises(PayloadError, match="result of Plain: a result is stored"):
        codec.decode_result("1")


def test_a_result_type_needs_a_result() -> None:
    class Maybe(Task[Ingest, int | None], name="maybe"): ...

    codec = Codec(Maybe)
    assert codec.encode_result(None) == "null"
    assert codec.decode_result("null") is None
    with pytest.raises(PayloadError, match=r"result of .*Maybe: none is stored"):
        codec.decode_result(None)
    with pytest.raises(PayloadError, match=r"result of .*Maybe: expects int"):
        codec.encode_result("1")


def test_a_result_that_cannot_be_stored_or_is_too_large_is_refused() -> None:
    class Bad(Task[Ingest, Opaque], name="bad"): ...

    class Big(Task[Ingest, str], name="big"): ...

    with pytest.raises(ConfigurationError, match=r"result of .*Bad: .*Opaque cannot be stored"):
        Codec(Bad)
    with pytest.raises(PayloadTooLarge, match=r"result of .*Big: is 1,048,578 bytes"):
        Codec(Big).encode_result("a" * MAX_BYTES)
