"""How one task is printed with everything around it."""

from __future__ import annotations

import enum
import json
from collections.abc import Iterator
from datetime import datetime

import attrs
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from taskmill.cli.figures import size_text
from taskmill.cli.harmless import lines, one_line, shortened
from taskmill.cli.listing import progress_texts
from taskmill.cli.moments import when
from taskmill.cli.printing import status_text
from taskmill.model.explanation import Explanation
from taskmill.model.record import ErrorRecord, TaskId, TaskRecord
from taskmill.model.secret import redacted
from taskmill.model.snapshot import TaskProgress
from taskmill.model.stages import Stage
from taskmill.model.status import TaskStatus
from taskmill.model.wording import length

SHORT = 400
"""Characters of a payload or result, unless all of it is asked for."""


class Whole(enum.Enum):
    """How much of long texts is printed."""

    SHORT = "short"
    ALL = "all"


@attrs.frozen(kw_only=True)
class Sheet:
    """A task and those around it."""

    record: TaskRecord
    progress: TaskProgress | None
    """While it runs."""
    parent: tuple[TaskRecord, ...]
    children: tuple[TaskRecord, ...]
    """The first of them."""
    child_count: int
    depends_on: tuple[TaskRecord, ...]
    """Those that are still on record."""
    dependents: tuple[TaskRecord, ...]
    has_more_dependents: bool
    explanation: Explanation


def print_sheet(sheet: Sheet, out: Console, whole: Whole, now: datetime) -> None:
    """Print it to ``out``, as wide as that is."""
    record = sheet.record
    title = Text.assemble((f"task {record.id}", "bold"), f"  {one_line(record.type)}  ")
    out.print(title + status_text(record.status))
    facts = Table.grid(padding=(0, 2, 0, 0))
    facts.add_column(no_wrap=True, style="dim")
    facts.add_column(overflow="fold")
    for name, text in (*_facts(record, now), *_progress(sheet.progress)):
        facts.add_row(name, Text(one_line(text)))
    out.print(facts)
    _print_related(out, "parent", sheet.parent, _missing(record.parent, sheet.parent))
    more = sheet.child_count - len(sheet.children)
    _print_related(out, "children", sheet.children, f"and {more:,} more" if more else "")
    gone = len(record.depends_on) - len(sheet.depends_on)
    _print_related(out, "depends on", sheet.depends_on, f"and {gone:,} more" if gone else "")
    and_more = "and more" if sheet.has_more_dependents else ""
    _print_related(out, "depended on by", sheet.dependents, and_more)
    for name, value in (
        ("payload", record.payload),
        ("returned", record.memo),
        ("result", record.result),
    ):
        if value is not None:
            _print_block(out, name, _json_text(redacted(value), whole))
    if record.errors:
        out.print(Text(f"errors ({len(record.errors)})", "bold"))
        for error in record.errors:
            _print_error(out, error, whole, now)
    _print_block(out, "why", lines(str(sheet.explanation)))


def _facts(record: TaskRecord, now: datetime) -> Iterator[tuple[str, str]]:
    if record.label != record.type:
        yield "label", record.label
    if record.key is not None:
        yield "key", record.key
    if record.group is not None:
        yield "group", record.group
    yield "priority", _priority(record)
    if record.tags:
        yield "tags", "  ".join(f"{key}={value}" for key, value in sorted(record.tags.items()))
    if record.schedule is not None:
        meant = record.scheduled_for
        yield "schedule", record.schedule + ("" if meant is None else f", for {when(meant, now)}")
    yield from _times(record, now)
    limit = "" if record.max_retries is None else f", {record.max_retries} retries at most"
    yield "attempts", f"{record.attempt} counted of {record.run} runs{limit}"
    lost = [f"{n} by crashes" for n in [record.interruptions] if n]
    lost += [f"{n} preempted" for n in [record.preemptions] if n]
    if lost:
        yield "interrupted", ", ".join(lost)
    yield from _run(record)
    if record.reason is not None:
        yield "reason", record.reason


def _run(record: TaskRecord) -> Iterator[tuple[str, str]]:
    """Where it runs, how far it is, and what it moved."""
    if record.executor is not None and record.status in (TaskStatus.RUNNING, TaskStatus.PENDING):
        yield "executor", record.executor
    if record.stage is not Stage.EXECUTE and not record.status.is_terminal:
        yield "stage", record.stage.name.lower() if record.stage.name else str(int(record.stage))
    if record.io is not None:
        moved = (
            ("read", record.io.read),
            ("written", record.io.written),
            ("received", record.io.received),
            ("sent", record.io.sent),
        )
        yield "moved", ", ".join(f"{size_text(size)} {name}" for name, size in moved if size)
    if record.ends_as is not None and not record.status.is_terminal:
        yield "stopping", f"it ends as {record.ends_as.value} once its handler has stopped"


def _progress(progress: TaskProgress | None) -> Iterator[tuple[str, str]]:
    said = "" if progress is None else ", ".join(progress_texts(progress))
    if said:
        yield "progress", said


def _times(record: TaskRecord, now: datetime) -> Iterator[tuple[str, str]]:
    for name, at in (
        ("submitted", record.created_at),
        ("due", record.due_at),
        ("expires", None if record.status.is_terminal else record.expires_at),
        ("last start", record.started_at),
        ("ended", record.finished_at),
    ):
        if at is not None:
            yield name, when(at, now)
    if record.duration is not None:
        yield "took", length(max(record.duration.total_seconds(), 0))


def _priority(record: TaskRecord) -> str:
    if record.effective_priority == record.priority:
        return str(record.priority)
    return f"{record.priority}, by its age {record.effective_priority}"


def _missing(parent: TaskId | None, found: tuple[TaskRecord, ...]) -> str:
    return "" if parent is None or found else f"{parent} (its record was deleted)"


def _print_related(out: Console, title: str, records: tuple[TaskRecord, ...], after: str) -> None:
    if not records and not after:
        return
    out.print(Text(title, "bold"))
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(justify="right")
    table.add_column()
    table.add_column(overflow="fold")
    for record in records:
        label = "" if record.label == record.type else f"  {record.label}"
        text = Text(one_line(f"{record.type}{label}"))
        table.add_row(str(record.id), status_text(record.status), text)
    out.print(Padding(table, (0, 0, 0, 2)))
    if after:
        out.print(Text(f"  {after}"))


def _print_block(out: Console, title: str, text: str) -> None:
    out.print(Text(title, "bold"))
    out.print(Padding(Text(text), (0, 0, 0, 2)))


def _print_error(out: Console, error: ErrorRecord, whole: Whole, now: datetime) -> None:
    head = Text(f"  run {error.run}, {when(error.at, now)}: ")
    said = f"{error.type}: {error.message}".removeprefix("builtins.")
    text = lines(said) if whole is Whole.ALL else one_line(shortened(said, SHORT))
    out.print(head + Text(text, "red"))
    if whole is Whole.ALL and error.traceback:
        out.print(Padding(Text(lines(error.traceback)), (0, 0, 0, 4)))


def _json_text(value: str, whole: Whole) -> str:
    """JSON for people: characters as they are, but for what a terminal would obey."""
    try:
        text = json.dumps(json.loads(value), indent=2, ensure_ascii=False)
    except ValueError:
        text = value
    if whole is Whole.ALL or len(text) <= SHORT:
        return lines(text)
    return f"{lines(text[:SHORT])}…\n({len(value):,} characters; --full prints them all)"
