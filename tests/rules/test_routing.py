"""The first rule whose pattern matches a name decides where that task type runs."""

from __future__ import annotations

import pickle
from random import Random
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskmill.model.errors import ConfigurationError, InvalidState
from taskmill.rules.routing import IdleRule, Route, Routing, Tried, idle_rules

FOUR = [
    Route("ml::train_*", "gpu_cluster"),
    Route("ml::*", "gpu_shared"),
    Route("etl::heavy_*", "high_memory"),
    Route("**::audit_*", "low_priority"),
]


def matches(pattern: str, name: str) -> bool:
    return Route(pattern, "there").matches(name)


# --- worked examples -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "executor"),
    [
        ("ml::train_model", "gpu_cluster"),
        ("ml::predict", "gpu_shared"),
        ("etl::heavy_load", "high_memory"),
        ("etl::data::audit_log", "low_priority"),
        ("etl::extract", "cpu_general"),
    ],
)
def test_the_first_rule_that_matches_decides_and_else_the_default(name: str, executor: str) -> None:
    routing = Routing("cpu_general", FOUR)
    assert routing.resolve(name) == executor
    assert routing.explain(name).executor == executor


def test_a_specific_rule_has_to_come_before_a_general_one() -> None:
    specific, general = Route("ml::train", "gpu_dedicated"), Route("ml::*", "gpu_shared")
    right = Routing("cpu", [specific, general])
    assert right.resolve("ml::train") == "gpu_dedicated"
    assert right.resolve("ml::predict") == "gpu_shared"
    assert Routing("cpu", [general, specific]).resolve("ml::train") == "gpu_shared"


def test_without_a_default_what_no_rule_matches_is_left_open() -> None:
    assert Routing().resolve("ml::train") is None
    assert Routing(rules=FOUR).resolve("etl::extract") is None
    assert Routing(rules=FOUR).resolve("ml::predict") == "gpu_shared"


@pytest.mark.parametrize(
    ("pattern", "names", "others"),
    [
        ("ml::train", ["ml::train"], ["ml::predict"]),
        ("ml::*", ["ml::train", "ml::predict"], ["etl::extract"]),
        ("heavy_*", ["heavy_compute", "heavy_load"], ["light_compute"]),
        ("*_gpu", ["train_gpu", "infer_gpu"], ["train_cpu"]),
        ("**", ["anything", "ml::train", "ml::deep::nested", ""], []),
        (
            "**::heavy_*",
            ["ml::heavy_train", "etl::data::heavy_load"],
            ["ml::light_train", "ml::heavy_x::light"],
        ),
        ("**::train_*", ["ml::train_model", "a::b::train_x"], ["ml::infer_x"]),
        ("**::infer_*", ["ml::infer_x"], ["ml::train_x"]),
        ("**::cleanup_*", ["etl::cleanup_old"], ["etl::archive_old"]),
        ("**::archive_*", ["etl::archive_old"], ["etl::cleanup_old"]),
        ("premium_tenant::**", ["premium_tenant::ml::train"], ["free_tier::ml::train"]),
        ("free_tier::**", ["free_tier::x"], ["premium_tenant::free_tier"]),
        ("batch::*", ["batch::daily"], ["batch::jobs::daily"]),
        ("batch::**", ["batch::jobs::daily", "batch::jobs::hourly::cleanup"], ["batches::jobs"]),
        ("*::ml::*", ["public::ml::train", "tenant::ml::inference"], ["ml::train"]),
        (
            "public::embedded::my_workflow::*",
            ["public::embedded::my_workflow::load"],
            ["public::embedded::other::load"],
        ),
    ],
)
def test_a_pattern_matches_these_names_and_not_those(
    pattern: str, names: list[str], others: list[str]
) -> None:
    assert [name for name in names if not matches(pattern, name)] == []
    assert [name for name in others if matches(pattern, name)] == []


# --- what a star stands for ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("ml::*", "ml::deep::nested", False),
        ("ml::*", "ml", False),
        ("ml::*", "public::embedded::ml::train", False),
        ("*::ml::*", "public::embedded::ml::train", False),
        ("**::ml::*", "public::embedded::ml::train", True),
        ("heavy_**", "heavy_x", True),
        ("heavy_**", "heavy_x::y", False),
        ("ml::heavy_**", "ml::heavy_x::y", False),
        ("ml::a**b", "ml::a::b", False),
        ("ml::***", "ml::x", True),
        ("ml::***", "ml::x::y", False),
        ("ml::*", "ml::", True),
        ("*", "any_task", True),
        ("*", "", True),
        ("a*", "a", True),
        ("*a", "a", True),
        ("*a*", "a", True),
    ],
)
def test_one_star_stays_within_its_segment(pattern: str, name: str, *, expected: bool) -> None:
    assert matches(pattern, name) is expected


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("**::heavy_*", "heavy_train", True),
        ("**::x", "x", True),
        ("**::x", "xx", False),
        ("ml::**", "ml", True),
        ("ml::**", "ml::a", True),
        ("ml::**", "ml::a::b", True),
        ("ml::**", "mlx::a", False),
        ("a::**::b", "a::b", True),
        ("a::**::b", "a::x::y::b", True),
        ("a::**::a", "a", False),
        ("a::b::**::b::c", "a::b::c", False),
        ("**::**", "a", True),
        ("**::**", "a::b", True),
        ("ml::**::**", "ml", True),
        ("ml::**::**", "ml::x", True),
        ("**::a::**::a::**", "a", False),
        ("**::a::**::a::**", "x::a::y::a", True),
        ("**::a::b::**::c", "a::a::b::c", True),
    ],
)
def test_two_stars_are_any_number_of_segments_and_none_is_one(
    pattern: str, name: str, *, expected: bool
) -> None:
    assert matches(pattern, name) is expected


@pytest.mark.parametrize(
    ("pattern", "name"),
    [("ab*ba", "aba"), ("a*a", "a"), ("a*ab", "ab"), ("x*mid*dy", "xmidy"), ("a*b*b", "ab")],
)
def test_no_character_is_matched_twice(pattern: str, name: str) -> None:
    assert not matches(pattern, name)
    assert not matches(f"ml::{pattern}", f"ml::{name}")
    assert matches(pattern, pattern.replace("*", "")), "each star may still stand for nothing"


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("heavy_*", "ml::heavy_x"),
        ("heavy_*", "public::embedded::ml::heavy_x"),
        ("*_gpu", "ml::train_gpu"),
        ("audit", "etl::audit"),
        ("*", "a::b"),
    ],
)
def test_a_pattern_without_colons_is_matched_against_the_tasks_own_name_in_every_domain(
    pattern: str, name: str
) -> None:
    """Where such a pattern needed a name of one segment, it would match no task type at all."""
    assert matches(pattern, name)


def test_a_pattern_without_colons_does_not_look_at_the_domain() -> None:
    assert not matches("ml", "ml::train")
    assert not matches("heavy_*", "heavy_ml::train")


@pytest.mark.parametrize("pattern", ["ml::tr?in", "ml::[tp]*", "ml::tr.in", "ml::{train}", "ML::*"])
def test_all_but_stars_is_literal_and_case_counts(pattern: str) -> None:
    assert not matches(pattern, "ml::train")
    assert matches(pattern, pattern)


def test_a_single_colon_is_a_character_like_any_other() -> None:
    assert matches("ml::a:*", "ml::a:b")
    assert matches("a:b", "ml::a:b")
    assert not matches("ml::a:b", "ml::a::b")


# --- against a matcher that tries everything -----------------------------------------------------


def slowly(pattern: str, name: str) -> bool:
    """What the pattern says, read one segment and one character at a time."""
    if "::" not in pattern and pattern != "**":
        return within(pattern, name.split("::")[-1])
    return across(pattern.split("::"), name.split("::"))


def across(pattern: list[str], name: list[str]) -> bool:
    if not pattern:
        return not name
    if pattern[0] == "**":
        return across(pattern[1:], name) or (bool(name) and across(pattern, name[1:]))
    return bool(name) and within(pattern[0], name[0]) and across(pattern[1:], name[1:])


def within(pattern: str, text: str) -> bool:
    if not pattern:
        return not text
    if pattern[0] == "*":
        return within(pattern[1:], text) or (bool(text) and within(pattern, text[1:]))
    return bool(text) and pattern[0] == text[0] and within(pattern[1:], text[1:])


def some_pattern(rng: Random) -> str:
    segments = ["**", "*", "".join(rng.choices("aab*", k=rng.randint(1, 5)))]
    return "::".join(rng.choices(segments, (2, 1, 3))[0] for _ in range(rng.randint(1, 5)))


def some_name(rng: Random) -> str:
    lengths = [rng.randint(1, 4) for _ in range(rng.randint(1, 5))]
    return "::".join("".join(rng.choices("aab", k=length)) for length in lengths)


def test_ten_thousand_random_patterns_match_what_they_say() -> None:
    rng = Random(7)  # noqa: S311 - the same cases each time
    pairs = [(some_pattern(rng), some_name(rng)) for _ in range(10_000)]
    wrong = [pair for pair in pairs if matches(*pair) is not slowly(*pair)]
    assert wrong == []
    assert 2_000 < sum(matches(*pair) for pair in pairs) < 8_000, "both answers are tried"


@settings(deadline=None)
@given(
    st.lists(st.text("ab*", min_size=1, max_size=7) | st.just("**"), min_size=1, max_size=6),
    st.lists(st.text("ab", min_size=1, max_size=6), min_size=1, max_size=6),
)
def test_any_pattern_matches_what_it_says(pattern: list[str], name: list[str]) -> None:
    pair = "::".join(pattern), "::".join(name)
    assert matches(*pair) is slowly(*pair)


def test_hundreds_of_stars_that_miss_are_told_at_once() -> None:
    """A matcher that goes back to try every split would not end before the universe does."""
    name = "::".join(["a"] * 200)
    assert not matches("::".join(["**"] * 200 + ["b"]), name)
    assert not matches("::".join(["**", "a"] * 150 + ["**", "b"]), name)
    assert not matches("::".join(["**", "a"] * 150 + ["**", "b", "**"]), name)
    assert not matches("::".join(["**", "a"] * 201), name)
    assert matches("::".join(["**", "a"] * 200), name)
    assert matches("::".join(["**"] * 200), name)


def test_hundreds_of_stars_in_one_segment_that_miss_are_told_at_once() -> None:
    name = "ml::" + "a" * 400
    assert not matches("*" * 200 + "b", name)
    assert not matches("*a" * 200 + "*b", name)
    assert not matches("*a" * 200 + "*b*", name)
    assert not matches("*a" * 401, name)
    assert matches("*a" * 400, name)
    assert matches("ml::" + "a*" * 200, name)


# --- what explain says ---------------------------------------------------------------------------


def test_an_explanation_names_the_rule_that_decided_and_those_asked_before() -> None:
    found = Routing("cpu_general", FOUR).explain("ml::predict")
    assert (found.name, found.executor) == ("ml::predict", "gpu_shared")
    assert (found.number, found.rule) == (2, FOUR[1])
    assert found.tried == (Tried(FOUR[0], matched=False), Tried(FOUR[1], matched=True))
    assert str(found).splitlines() == [
        "ml::predict runs on 'gpu_shared', by rule 2, 'ml::*'.",
        "1. 'ml::train_*' -> 'gpu_cluster': no match",
        "2. 'ml::*' -> 'gpu_shared': match",
    ]


def test_an_explanation_says_that_the_default_decided() -> None:
    found = Routing("cpu_general", FOUR).explain("etl::extract")
    assert (found.number, found.rule, len(found.tried)) == (None, None, 4)
    assert str(found).splitlines() == [
        "etl::extract runs on 'cpu_general', the default: none of 4 rules matches.",
        "1. 'ml::train_*' -> 'gpu_cluster': no match",
        "2. 'ml::*' -> 'gpu_shared': no match",
        "3. 'etl::heavy_*' -> 'high_memory': no match",
        "4. '**::audit_*' -> 'low_priority': no match",
    ]


def test_an_explanation_says_that_the_kind_of_the_handler_decides() -> None:
    found = Routing(rules=FOUR).explain("etl::extract")
    assert found.executor is None
    assert str(found).splitlines()[0] == (
        "etl::extract is not routed: none of 4 rules matches, so the kind of its handler decides."
    )


def test_an_explanation_counts_one_rule_and_no_rules_in_words() -> None:
    assert str(Routing("cpu").explain("a::b")) == (
        "a::b runs on 'cpu', the default: there are no rules."
    )
    assert str(Routing().explain("a::b")) == (
        "a::b is not routed: there are no rules, so the kind of its handler decides."
    )
    assert str(Routing("cpu", FOUR[:1]).explain("a::b")).splitlines()[0] == (
        "a::b runs on 'cpu', the default: the only rule does not match."
    )


# --- rules as values -----------------------------------------------------------------------------


def test_a_rule_that_is_added_comes_last_so_it_overrides_nothing() -> None:
    routing = Routing("cpu", [Route("ml::*", "gpu")])
    routing.add_rule(Route("ml::train", "other"))
    routing.add_rule(Route("batch::*", "batch"))
    assert [rule.executor for rule in routing.rules] == ["gpu", "other", "batch"]
    assert routing.resolve("ml::train") == "gpu"
    assert routing.resolve("batch::daily") == "batch"


def test_with_rules_makes_a_new_routing_and_leaves_the_old_one() -> None:
    first = Routing("cpu", FOUR[:1])
    second = first.with_rules(iter(FOUR[1:]))
    assert first == Routing("cpu", FOUR[:1])
    assert second == Routing("cpu", FOUR)
    second.add_rule(Route("**", "rest"))
    assert first.resolve("x::y") == "cpu"
    assert (second.default, second.resolve("x::y")) == ("cpu", "rest")


def test_a_list_of_rules_that_changes_afterwards_changes_no_routing() -> None:
    rules = FOUR[:1]
    routing = Routing("cpu", rules)
    rules.append(Route("**", "rest"))
    assert routing.rules == tuple(FOUR[:1])


def test_a_sealed_routing_takes_no_rule_and_says_what_to_do() -> None:
    routing = Routing("cpu", FOUR)
    routing.seal()
    routing.seal()
    with pytest.raises(InvalidState, match=r"^a scheduler has been made .*'batch::\*'.*with_rules"):
        routing.add_rule(Route("batch::*", "batch"))
    assert routing.rules == tuple(FOUR)
    assert routing == Routing("cpu", FOUR)


def test_a_routing_made_from_a_sealed_one_takes_rules() -> None:
    routing = Routing("cpu", FOUR)
    routing.seal()
    other = routing.with_rules([Route("batch::*", "batch")])
    other.add_rule(Route("**", "rest"))
    assert len(other.rules) == 6


def test_routings_with_the_same_default_and_rules_are_equal_and_none_can_be_hashed() -> None:
    assert Routing("cpu", FOUR) == Routing("cpu", iter(FOUR))
    assert Routing("cpu", FOUR) != Routing("cpu", FOUR[::-1])
    assert Routing("cpu", FOUR) != Routing(None, FOUR)
    assert Routing() != ()
    with pytest.raises(TypeError, match="unhashable"):
        hash(Routing())


def test_a_routing_is_written_as_it_is_made() -> None:
    routing = Routing("cpu", [Route("ml::*", "gpu")])
    assert repr(routing) == "Routing(default='cpu', rules=[Route(pattern='ml::*', executor='gpu')])"
    assert eval(repr(routing)) == routing  # noqa: S307 - its own text


def test_a_route_is_a_value() -> None:
    route = Route("ml::*", "gpu")
    assert route == Route("ml::*", "gpu") != Route("ml::*", "cpu")
    assert len({route, Route("ml::*", "gpu")}) == 1
    assert str(route) == "'ml::*' -> 'gpu'"
    assert pickle.loads(pickle.dumps(route)).matches("ml::train")  # noqa: S301 - its own bytes
    assert attrs.evolve(route, pattern="etl::*").matches("etl::load")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        route.pattern = "**"  # type: ignore[misc] # pyright: ignore[reportAttributeAccessIssue]


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("", "must be text.*not ''; the pattern of every name is"),
        (None, "must be text.*not None"),
        (7, "must be text.*not 7"),
        (b"ml::*", "must be text.*not b'ml"),
        (["ml::*"], "must be text"),
        ("ml:: *", "white space"),
        (" ", "white space"),
        ("ml::*\n", "white space or something unprintable"),
        ("ml\t::*", "unprintable"),
        ("ml\u00a0", "unprintable"),
        ("ml\x00", "unprintable"),
        ("\ud800", "unprintable"),
        ("a::", "'a::' has an empty segment.*'\\*' there"),
        ("::a", "empty segment"),
        ("::", "empty segment"),
        ("a::::b", "empty segment"),
        ("a:::::b", "empty segment"),
        ("**::", "empty segment"),
    ],
)
def test_a_pattern_that_cannot_be_meant_is_refused(wrong: Any, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        Route(wrong, "gpu")


@pytest.mark.parametrize("wrong", ["", None, 7, b"gpu", ["gpu"]])
def test_what_names_no_executor_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^the executor for 'ml::\*' must be the name of"):
        Route("ml::*", wrong)


@pytest.mark.parametrize("wrong", ["", 7, Route("ml::*", "gpu"), FOUR])
def test_a_default_that_names_no_executor_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"default must be .* rules go into rules="):
        Routing(wrong)


@pytest.mark.parametrize("wrong", [None, 7, "ml::*", Route("ml::*", "gpu"), {"ml::*": "gpu"}])
def test_what_is_no_list_of_rules_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="must be a list, such as"):
        Routing("cpu", wrong)
    with pytest.raises(ConfigurationError, match="must be a list, such as"):
        Routing("cpu").with_rules(wrong)


@pytest.mark.parametrize("wrong", [None, "ml::*", ("ml::*", "gpu"), Route])
def test_what_is_no_rule_is_refused_and_not_added(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"as Route\('ml::\*', 'gpu'\), not "):
        Routing("cpu", [FOUR[0], wrong])
    routing = Routing("cpu", FOUR)
    with pytest.raises(ConfigurationError, match=r"as Route\('ml::\*', 'gpu'\), not "):
        routing.add_rule(wrong)
    assert routing == Routing("cpu", FOUR)


# --- rules that decide for nothing ---------------------------------------------------------------

NAMES = ["ml::train_model", "ml::train_small", "ml::predict", "etl::heavy_load", "etl::audit"]


def idle(*rules: Route) -> list[IdleRule]:
    return idle_rules(Routing("cpu", rules), NAMES)


def test_rules_that_each_decide_for_a_task_type_are_not_idle() -> None:
    rules = [*FOUR[:3], Route("audit", "low")]
    assert idle(*rules) == []
    everything = Route("**", "rest")
    assert idle(*rules, everything) == [IdleRule(number=5, rule=everything, shadowed_by=FOUR[0])], (
        "nothing is left for the last one"
    )


def test_a_rule_with_a_typing_error_is_told_the_names_it_may_mean() -> None:
    [found] = idle(Route("ml::trian_*", "gpu"))
    assert found.number == 1
    assert found.near[:2] == ("ml::train_model", "ml::train_small")
    [found] = idle(Route("ml::predcit", "gpu"))
    assert str(found) == (
        "Rule 1, 'ml::predcit' -> 'gpu', matches no task type; the nearest is ml::predict."
    )


def test_what_a_star_may_stand_for_makes_no_name_less_near() -> None:
    [found] = idle_rules(
        Routing(rules=[Route("etll::*", "gpu")]),
        ["etl::a_task_with_quite_a_long_name", "statistics::of_the_last_week"],
    )
    assert found.near == ("etl::a_task_with_quite_a_long_name",)


def test_a_pattern_without_colons_is_compared_with_the_tasks_own_names() -> None:
    [found] = idle(Route("haevy_*", "big"))
    assert found.near == ("etl::heavy_load",)
    [found] = idle(Route("audt", "low"))
    assert found.near == ("etl::audit",)


def test_a_pattern_in_another_case_is_near() -> None:
    [found] = idle(Route("ML::*", "gpu"))
    assert found.near == ("ml::predict", "ml::train_model", "ml::train_small")
    assert str(found) == (
        "Rule 1, 'ML::*' -> 'gpu', matches no task type; "
        "the nearest are ml::predict, ml::train_model and ml::train_small."
    )


def test_at_most_three_names_are_near_and_none_has_to_be() -> None:
    names = [f"ml::train_{n}" for n in range(9)]
    [found] = idle_rules(Routing(rules=[Route("ml::trainn_*", "gpu")]), names)
    assert found.near == ("ml::train_0", "ml::train_1", "ml::train_2")
    [found] = idle(Route("quux::*", "gpu"))
    assert found.near == ()
    assert str(found) == "Rule 1, 'quux::*' -> 'gpu', matches no task type."


def test_a_rule_behind_a_more_general_one_is_idle_and_is_told_which_one() -> None:
    [found] = idle(Route("ml::*", "gpu_shared"), Route("ml::train_model", "gpu_dedicated"))
    assert (found.number, found.near) == (2, ())
    assert found.shadowed_by == Route("ml::*", "gpu_shared")
    assert str(found) == (
        "Rule 2, 'ml::train_model' -> 'gpu_dedicated', never decides: all that it matches is taken "
        "by earlier rules, such as 'ml::*'; move it before them, or remove it."
    )


def test_a_rule_whose_names_several_earlier_rules_take_is_told_the_one_that_takes_the_first() -> (
    None
):
    small, model = Route("ml::train_small", "a"), Route("ml::train_model", "b")
    [found] = idle(small, model, Route("ml::train_*", "c"))
    assert (found.number, found.shadowed_by) == (3, model)


def test_a_rule_of_which_something_is_left_is_not_idle() -> None:
    assert idle(Route("ml::train_*", "a"), Route("ml::*", "b")) == []


def test_the_same_rule_twice_is_idle_the_second_time() -> None:
    [found] = idle(Route("ml::*", "gpu"), Route("ml::*", "gpu"))
    assert (found.number, found.shadowed_by) == (2, Route("ml::*", "gpu"))


def test_without_task_types_every_rule_is_idle() -> None:
    found = idle_rules(Routing("cpu", [*FOUR, Route("**", "rest")]), [])
    assert [(rule.number, rule.near) for rule in found] == [(n, ()) for n in range(1, 6)]
    assert idle_rules(Routing("cpu"), NAMES) == []
