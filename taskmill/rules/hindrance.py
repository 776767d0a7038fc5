"""Why a task is blocked, or waits: what has to end first, in sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from taskmill.model.choices import OnDependencyFailure
from taskmill.model.explanation import Hold
from taskmill.model.record import TaskRecord
from taskmill.model.status import TaskStatus
from taskmill.model.wording import counts, plural
from taskmill.rules.moves import title

LISTED = 100
"""How many of the tasks that are waited for are looked up."""


def hindrances(record: TaskRecord, others: Sequence[TaskRecord]) -> Iterator[Hold]:
    """What holds a task that waits for ``others``, of which `LISTED` at most are known."""
    if record.status is TaskStatus.WAITING:
        yield _children(record, others)
        return
    for other in others:
        if other.id in record.depends_on:
            yield _dependency(record, other)
        else:
            yield Hold(
                gate="follow_up",
                name=str(other.id),
                sentence=f"It follows {title(other)}, which does the same work and is "
                f"{other.status}.",
                figures={"id": other.id, "status": other.status},
            )


def _dependency(record: TaskRecord, other: TaskRecord) -> Hold:
    sentence = f"It depends on {title(other)}, which is {other.status}."
    if other.status.is_terminal and record.on_dependency_failure is OnDependencyFailure.HOLD:
        sentence = (
            f"It depends on {title(other)}, which ended as {other.status}: {other.reason}. "
            f"Retry that one, or say retry({record.id}) to run this one anyway."
        )
    return Hold(
        gate="dependency",
        name=str(other.id),
        sentence=sentence,
        figures={"id": other.id, "status": other.status},
    )


def _children(record: TaskRecord, others: Sequence[TaskRecord]) -> Hold:
    number = plural(len(others), "child", "children")
    if len(others) == LISTED:
        number = f"{LISTED} or more children"
    by_status = Counter(str(other.status) for other in others)
    verb = "has" if len(others) == 1 else "have"
    sentence = f"{number} of it {verb} not ended: {counts(by_status)}."
    if record.stage.part:
        sentence += " Then its finalize runs."
    return Hold(
        gate="children",
        name=str(record.id),
        sentence=sentence,
        figures={"open": len(others), "by_status": dict(by_status)},
    )
