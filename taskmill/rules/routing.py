"""Which executor a task type runs on: the first rule whose pattern matches its name says so."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import SequenceMatcher

import attrs

from taskmill.model.errors import ConfigurationError, InvalidState
from taskmill.model.limits import checked_items
from taskmill.model.showing import shown
from taskmill.rules.patterns import Pattern

_EXAMPLE = "Route('ml::*', 'gpu')"
_LEAST_LIKENESS = 0.6
_MOST_NEAR = 3


@attrs.frozen
class Route:
    """A rule: task types whose name matches ``pattern`` run on the executor of this name.

    A pattern with ``::`` is matched against the qualified name (``"ml::train_*"``), any other
    against the task's own name (``"heavy_*"``, in every domain). ``*`` stands for any characters
    within one segment, ``**`` as a whole segment for any number of segments.
    """

    pattern: str
    executor: str
    _pattern: Pattern = attrs.field(
        init=False,
        repr=False,
        eq=False,
        default=attrs.Factory(lambda route: Pattern(route.pattern), takes_self=True),
    )

    def __attrs_post_init__(self) -> None:
        _check_executor(self.executor, f"the executor for {shown(self.pattern)}")

    def __str__(self) -> str:
        return f"{self.pattern!r} -> {self.executor!r}"

    def matches(self, name: str) -> bool:
        """Whether this rule holds for the task type of this qualified name."""
        return self._pattern.matches(name)

    def subject(self, name: str) -> str:
        """What of a name the pattern is matched against: all of it, or its last segment."""
        return self._pattern.subject(name)


class Routing:
    """Rules that name executors, asked in order: the first that matches decides.

    ``default`` is the executor of the types that no rule matches; with None, the kind of the
    handler decides. ``Routing("thread", [Route("ml::train_*", "gpu"), Route("ml::*", "cpu")])``.
    """

    __slots__ = ("__weakref__", "_default", "_is_sealed", "_rules")

    def __init__(self, default: str | None = None, rules: Iterable[Route] = ()) -> None:
        if default is not None:
            _check_executor(
                default,
                "a routing's default",
                "; None leaves it to the kind of the handler, and rules go into rules=[...]",
            )
        self._default = default
        self._rules = _checked_rules(rules)
        self._is_sealed = False

    def __repr__(self) -> str:
        return f"Routing(default={self._default!r}, rules={list(self._rules)!r})"

    def __eq__(self, other: object) -> bool:
        """Whether default and rules are the same; being sealed is no part of it."""
        if not isinstance(other, Routing):
            return NotImplemented
        return (self._default, self._rules) == (other._default, other._rules)

    @property
    def default(self) -> str | None:
        """The executor of what no rule matches; None leaves it to the kind of the handler."""
        return self._default

    @property
    def rules(self) -> tuple[Route, ...]:
        """The rules in the order in which they are asked."""
        return self._rules

    def add_rule(self, rule: Route) -> None:
        """Append a rule; it comes last, so what an earlier rule matches stays as it is.

        InvalidState once a scheduler has been made with this routing.
        """
        if self._is_sealed:
            raise InvalidState(
                "a scheduler has been made with this routing, so a rule added now would change "
                f"nothing: {shown(rule)}; make the rules before the scheduler, or make another "
                "routing with with_rules"
            )
        self._rules = (*self._rules, *_checked_rules([rule]))

    def with_rules(self, rules: Iterable[Route]) -> Routing:
        """Return a new routing with these rules behind those of this one, which stays as it is."""
        return Routing(self._default, (*self._rules, *_checked_rules(rules)))

    def seal(self) -> None:
        """Refuse `add_rule` from now on, because nobody would look at the new rule."""
        self._is_sealed = True

    def resolve(self, name: str) -> str | None:
        """Return the executor of the first rule that matches ``name``, else the default."""
        return next((rule.executor for rule in self._rules if rule.matches(name)), self._default)

    def explain(self, name: str) -> RouteExplanation:
        """Tell what `resolve` returns for ``name`` and which rules were asked for it."""
        tried: list[Tried] = []
        for rule in self._rules:
            tried.append(Tried(rule, rule.matches(name)))
            if tried[-1].matched:
                return RouteExplanation(
                    name=name, executor=rule.executor, rule=rule, tried=tuple(tried)
                )
        return RouteExplanation(name=name, executor=self._default, rule=None, tried=tuple(tried))


@attrs.frozen
class Tried:
    """A rule that was asked, and whether it matched."""

    rule: Route
    matched: bool

    def __str__(self) -> str:
        return f"{self.rule}: {'match' if self.matched else 'no match'}"


@attrs.frozen(kw_only=True)
class RouteExplanation:
    """Where a task type runs and why. ``str()`` is the whole story, in a few lines."""

    name: str
    executor: str | None
    """None: the kind of its handler decides."""
    rule: Route | None
    """The rule that decided; None where none matched."""
    tried: tuple[Tried, ...]
    """The rules that were asked, in order; one that decided is the last."""

    @property
    def number(self) -> int | None:
        """The place of the rule that decided, from 1."""
        return None if self.rule is None else len(self.tried)

    def __str__(self) -> str:
        tried = [f"{number}. {tried}" for number, tried in enumerate(self.tried, 1)]
        return "\n".join([self._sentence(), *tried])

    def _sentence(self) -> str:
        if self.rule is not None:
            by = f"by rule {self.number}, {self.rule.pattern!r}"
            return f"{self.name} runs on {self.executor!r}, {by}."
        match len(self.tried):
            case 0:
                why = "there are no rules"
            case 1:
                why = "the only rule does not match"
            case count:
                why = f"none of {count} rules matches"
        if self.executor is None:
            return f"{self.name} is not routed: {why}, so the kind of its handler decides."
        return f"{self.name} runs on {self.executor!r}, the default: {why}."


@attrs.frozen(kw_only=True)
class IdleRule:
    """A rule that decides for no task type; ``str()`` says why."""

    number: int
    """Its place among the rules, from 1."""
    rule: Route
    near: tuple[str, ...] = ()
    """The names most like its pattern, the nearest first, where it matches none."""
    shadowed_by: Route | None = None
    """Where earlier rules take all that it matches, the one that takes the first of them."""

    def __str__(self) -> str:
        rule = f"Rule {self.number}, {self.rule},"
        if self.shadowed_by is not None:
            return (
                f"{rule} never decides: all that it matches is taken by earlier rules, such as "
                f"{self.shadowed_by.pattern!r}; move it before them, or remove it."
            )
        if not self.near:
            return f"{rule} matches no task type."
        *others, last = self.near
        nearest = f"are {', '.join(others)} and {last}" if others else f"is {last}"
        return f"{rule} matches no task type; the nearest {nearest}."


def idle_rules(routing: Routing, names: Collection[str]) -> list[IdleRule]:
    """Find the rules that decide for none of these task types, and what may be wrong with each."""
    found: list[IdleRule] = []
    deciding = {name: routing.explain(name) for name in names}
    for number, rule in enumerate(routing.rules, 1):
        matched = [name for name in deciding if rule.matches(name)]
        if not matched:
            near = _nearest(rule, deciding)
            found.append(IdleRule(number=number, rule=rule, near=near))
        elif all(deciding[name].number != number for name in matched):
            earlier = deciding[matched[0]].rule
            found.append(IdleRule(number=number, rule=rule, shadowed_by=earlier))
    return found


def _nearest(rule: Route, names: Iterable[str]) -> tuple[str, ...]:
    """The names that look most like the rule's pattern, whatever their case."""
    letters = rule.pattern.replace("*", "").casefold()
    compared = SequenceMatcher(autojunk=False)
    compared.set_seq2(letters)
    likeness: dict[str, float] = {}
    for name in names:
        subject = rule.subject(name).casefold()
        compared.set_seq1(subject)
        same = sum(block.size for block in compared.get_matching_blocks())
        # What a `*` may stand for does not make a name less like the pattern.
        length = min(len(subject), len(letters)) if "*" in rule.pattern else len(subject)
        likeness[name] = 2 * same / (len(letters) + length)
    near = [name for name, value in likeness.items() if value >= _LEAST_LIKENESS]
    return tuple(sorted(near, key=lambda name: (-likeness[name], name))[:_MOST_NEAR])


def _checked_rules(rules: Iterable[Route]) -> tuple[Route, ...]:
    found = checked_items(rules, "the rules of a routing", f"[{_EXAMPLE}]")
    for rule in found:
        _check_rule(rule)
    return tuple(found)


def _check_rule(rule: object) -> None:
    if not isinstance(rule, Route):
        raise ConfigurationError(f"a rule of a routing must be as {_EXAMPLE}, not {shown(rule)}")


def _check_executor(name: object, what: str, hint: str = "") -> None:
    if not isinstance(name, str) or not name:
        raise ConfigurationError(
            f"{what} must be the name of an executor, such as 'thread', not {shown(name)}{hint}"
        )
