"""Which tasks a command is about: the filters of a command line, as a selection."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import attrs
import click

from taskmill.cli.parts import past
from taskmill.model.errors import ConfigurationError, InvalidTag
from taskmill.model.limits import check_tag_prefix, check_tags, check_text
from taskmill.model.record import TaskId
from taskmill.model.selection import Selection
from taskmill.model.status import ACTIVE, TERMINAL, TaskStatus

F = TypeVar("F", bound=Callable[..., Any])

SETS = {"active": ACTIVE, "ended": TERMINAL, "any": ACTIVE | TERMINAL}
"""Words for several states."""
STATUSES = [*(status.value for status in TaskStatus), *SETS]

_OPTIONS = (
    click.option(
        "--type",
        "types",
        metavar="TYPE",
        multiple=True,
        help="Of this type, qualified: ingest::fetch. Several may be given.",
    ),
    click.option("--domain", metavar="NAME", help="Of this domain."),
    click.option(
        "--status",
        "statuses",
        type=click.Choice(STATUSES),
        metavar="STATUS",
        multiple=True,
        help="In this state; active, ended or any for several. May be given repeatedly.",
    ),
    click.option(
        "--tag", "tags", metavar="KEY=VALUE", multiple=True, help="With this tag; all of several."
    ),
    click.option("--tag-prefix", metavar="PREFIX", help="With a tag whose key starts so."),
    click.option("--group", metavar="NAME", help="Of this group."),
    click.option("--no-group", is_flag=True, help="Without a group."),
    click.option("--parent", metavar="ID", type=click.IntRange(1), help="Children of this task."),
    click.option(
        "--id",
        "ids",
        metavar="ID",
        type=click.IntRange(1),
        multiple=True,
        help="With this id; one of several.",
    ),
    click.option("--key", metavar="KEY", help="With this key."),
    click.option(
        "--created-after",
        metavar="WHEN",
        callback=past,
        help="Submitted after a moment, "
        "such as 2031-02-03T04:05 (local time), or 2h for two hours ago.",
    ),
    click.option("--created-before", metavar="WHEN", callback=past, help="Submitted before it."),
)


@attrs.frozen(kw_only=True)
class Filters:
    """What the filters of a command line say; None and empty are what was not given."""

    types: tuple[str, ...]
    domain: str | None
    statuses: tuple[str, ...]
    tags: tuple[str, ...]
    tag_prefix: str | None
    group: str | None
    no_group: bool
    parent: int | None
    ids: tuple[int, ...]
    key: str | None
    created_after: datetime | None
    created_before: datetime | None

    @property
    def is_empty(self) -> bool:
        """Whether no filter was given."""
        return self.is_any and not self.statuses

    @property
    def is_any(self) -> bool:
        """Whether nothing but the state is asked for."""
        return not any(attrs.astuple(attrs.evolve(self, statuses=()), recurse=False))


FILTER_NAMES = frozenset(field.name for field in attrs.fields(Filters))
"""Of their parameters."""


def filter_options(function: F) -> F:
    """The filters, which ``function`` takes as keywords and hands to `Filters`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def selection_of(filters: Filters, default: frozenset[TaskStatus]) -> Selection:
    """The tasks that are meant, in the states of ``default`` unless a filter has a state.

    A usage error for what no task can be.
    """
    try:
        return _selection(filters, default)
    except (ConfigurationError, InvalidTag) as error:
        raise click.UsageError(str(error)) from error


def statuses_of(words: tuple[str, ...], default: frozenset[TaskStatus]) -> frozenset[TaskStatus]:
    """The states that some words name."""
    if not words:
        return default
    return frozenset[TaskStatus]().union(
        *(SETS[word] if word in SETS else {TaskStatus(word)} for word in words)
    )


def _selection(filters: Filters, default: frozenset[TaskStatus]) -> Selection:
    if filters.no_group and filters.group is not None:
        raise click.UsageError("--group and --no-group exclude each other")
    tags = dict(_tag(text) for text in filters.tags)
    if len(tags) < len(set(filters.tags)):
        raise click.UsageError("--tag: a task has one value of each tag; two were given of one")
    check_tags(tags, "--tag")
    if filters.tag_prefix is not None:
        check_tag_prefix(filters.tag_prefix, "--tag-prefix")
    for value, name in (
        (filters.key, "--key"),
        (filters.group, "--group"),
        (filters.domain, "--domain"),
        *((type_name, "--type") for type_name in filters.types),
    ):
        if value is not None:
            check_text(value, name)
    return Selection(
        domain=filters.domain,
        types=frozenset(filters.types) or None,
        statuses=statuses_of(filters.statuses, default),
        ids=frozenset(map(TaskId, filters.ids)) or None,
        any_group=filters.group is None and not filters.no_group,
        group=filters.group,
        parent=None if filters.parent is None else TaskId(filters.parent),
        key=filters.key,
        tags=tags,
        tag_prefix=filters.tag_prefix,
        created_before=filters.created_before,
        created_after=filters.created_after,
    )


def _tag(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise click.UsageError(f"--tag takes KEY=VALUE, such as job=7, not {text!r}")
    return key, value
