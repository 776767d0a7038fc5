"""Draws the table of states for docs/lifecycle.md: ``python -m tests.guides.states``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from taskmill import TaskStatus
from taskmill.model.status import TRANSITIONS

_S = TaskStatus

REVIVED = "`retry` revived it"
CANCELLED = "it was cancelled, or its parent ended without completing"
SUPERSEDED = "another submit took its place"

WHEN: Mapping[tuple[TaskStatus, TaskStatus], str] = MappingProxyType(
    {
        (_S.PENDING, _S.RUNNING): "its time has come and a slot is free",
        (_S.PENDING, _S.CANCELLED): CANCELLED,
        (_S.PENDING, _S.SUPERSEDED): SUPERSEDED,
        (_S.PENDING, _S.EXPIRED): "its time to live is over",
        (_S.PENDING, _S.FAILED): "a child of it failed",
        (_S.BLOCKED, _S.PENDING): "what it waited for has ended",
        (_S.BLOCKED, _S.CANCELLED): CANCELLED,
        (_S.BLOCKED, _S.SUPERSEDED): SUPERSEDED,
        (_S.BLOCKED, _S.EXPIRED): "its time to live is over",
        (_S.BLOCKED, _S.DEPENDENCY_FAILED): "a task that it depends on did not complete",
        (
            _S.RUNNING,
            _S.PENDING,
        ): "it is to be retried, was interrupted, or owes an `on_cancel`",
        (_S.RUNNING, _S.WAITING): "its handler has returned, and children have not ended",
        (_S.RUNNING, _S.COMPLETED): "its handler has returned",
        (_S.RUNNING, _S.FAILED): "the error is not retried, or a child of it failed",
        (_S.RUNNING, _S.DEAD): "its retries are spent, or processes kept dying at it",
        (_S.RUNNING, _S.CANCELLED): CANCELLED,
        (_S.RUNNING, _S.SUPERSEDED): SUPERSEDED,
        (_S.WAITING, _S.PENDING): "`finalize` is next, or an `on_cancel` is owed",
        (_S.WAITING, _S.COMPLETED): "its children have ended",
        (_S.WAITING, _S.FAILED): "a child of it failed",
        (_S.WAITING, _S.CANCELLED): CANCELLED,
        (_S.WAITING, _S.SUPERSEDED): SUPERSEDED,
        (_S.FAILED, _S.PENDING): REVIVED,
        (_S.DEAD, _S.PENDING): REVIVED,
        (_S.CANCELLED, _S.PENDING): REVIVED,
        (_S.CANCELLED, _S.BLOCKED): f"{REVIVED}, and what it depends on has not ended",
        (_S.DEPENDENCY_FAILED, _S.PENDING): REVIVED,
        (_S.DEPENDENCY_FAILED, _S.BLOCKED): f"{REVIVED}, and what it depends on has not ended",
    }
)
"""What makes each move."""


def rows() -> Iterator[str]:
    """The rows of the table; KeyError for a move that nobody described."""
    for before in TaskStatus:
        moves = TRANSITIONS.get(before, frozenset[TaskStatus]())
        name = f"`{before.name}`"
        for after in TaskStatus:
            if after in moves:
                yield f"| {name} | `{after.name}` | {WHEN[before, after]} |"
                name = ""
        if not moves and before is not TaskStatus.PAUSED:
            yield f"| {name} | | nothing: it has ended for good |"


def table() -> str:
    """The table, as the page has it."""
    return "\n".join(["| from | to | when |", "|---|---|---|", *rows()])


if __name__ == "__main__":
    print(table())
