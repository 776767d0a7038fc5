"""The filters of a command line: what they choose, and which make no sense."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import attrs
import click
import pytest

from taskmill.cli.changing import priority_of
from taskmill.cli.chosen import Filters, filter_options, selection_of
from taskmill.model.record import TaskId
from taskmill.model.selection import Selection
from taskmill.model.status import ACTIVE, TERMINAL, TaskStatus


def parsed(*arguments: str) -> Filters:
    """The filters that a command with these arguments has."""
    found: list[Filters] = []

    @click.command()
    @filter_options
    def command(**filters: Any) -> None:
        found.append(Filters(**filters))

    command.main(list(arguments), standalone_mode=False)
    return found[0]


def chosen(*arguments: str) -> Selection:
    return selection_of(parsed(*arguments), ACTIVE)


def test_without_filters_the_default_states_are_chosen_and_nothing_else() -> None:
    assert chosen() == Selection(statuses=ACTIVE)
    assert parsed().is_empty
    assert parsed("--status", "dead").is_any
    assert not parsed("--status", "dead").is_empty
    assert not parsed("--no-group").is_any


def test_each_filter_is_a_condition() -> None:
    selection = chosen(
        *("--type", "a::x", "--type", "a::y", "--domain", "a", "--status", "failed"),
        *("--tag", "job=7", "--tag", "empty=", "--tag", "eq==", "--tag-prefix", "j"),
        *("--group", "s3", "--parent", "4", "--id", "5", "--id", "6", "--key", "k"),
        *("--created-after", "2031-02-03T04:05Z", "--created-before", "2031-02-04T04:05Z"),
    )
    assert attrs.evolve(selection, created_before=None) == Selection(
        domain="a",
        types=frozenset({"a::x", "a::y"}),
        statuses=frozenset({TaskStatus.FAILED}),
        ids=frozenset({TaskId(5), TaskId(6)}),
        any_group=False,
        group="s3",
        parent=TaskId(4),
        key="k",
        tags={"job": "7", "empty": "", "eq": "="},
        tag_prefix="j",
        created_after=datetime.fromisoformat("2031-02-03T04:05Z"),
    )


def test_no_group_is_a_group_of_its_own() -> None:
    assert chosen("--no-group") == Selection(statuses=ACTIVE, any_group=False, group=None)


def test_states_can_be_named_together() -> None:
    assert chosen("--status", "any").statuses == ACTIVE | TERMINAL
    assert chosen("--status", "ended", "--status", "pending").statuses == {
        *TERMINAL,
        TaskStatus.PENDING,
    }


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--tag", "job"), "KEY=VALUE"),
        (("--tag", "=7"), "KEY=VALUE"),
        (("--tag", "job=7", "--tag", "job=8"), "one value"),
        (("--tag", f"{'k' * 65}=v"), "64 bytes"),
        (("--tag-prefix", "k" * 65), "64 bytes"),
        (("--group", "a", "--no-group"), "exclude each other"),
        (("--key", ""), "--key must be text"),
        (("--domain", "x" * 2000), "--domain must be text"),
        (("--status", "done"), "is not one of"),
        (("--parent", "0"), "range"),
        (("--created-after", "soon"), "is no moment"),
    ],
)
def test_what_no_task_can_be_is_a_usage_error(arguments: tuple[str, ...], text: str) -> None:
    with pytest.raises(click.UsageError, match=text):
        chosen(*arguments)


def test_priorities_are_numbers_or_names() -> None:
    assert [priority_of(text) for text in ("0", "255", "high", "Idle")] == [0, 255, 64, 255]
    for wrong in ("256", "-1", "urgent", "", "1.5", "²"):
        with pytest.raises(click.UsageError, match="realtime, high, normal"):
            priority_of(wrong)
