"""Whether the rows of a database make sense together: nothing lost, stuck or left behind."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator

import attrs

from taskmill.model.effects import Holder
from taskmill.model.wording import moment, plural
from taskmill.store.sqlite.findings import Finding, fine, problem, warning
from taskmill.store.sqlite.inspecting import INSPECTION

MANY_REQUESTS = 10_000
"""A dispatcher takes requests by the thousand: more than this do not wait while one is well."""


@attrs.frozen
class Holding:
    """Whether somebody dispatches, as the lock says, and who opened the file last."""

    is_held: bool
    holder: Holder | None

    @property
    def name(self) -> str:
        """Who it is, in words."""
        if self.holder is None:
            return "an unknown process"
        pid, host, since = self.holder.pid, self.holder.host, moment(self.holder.since)
        return f"process {pid} on {host} (since {since})"


def _counts(_: Holding, db: sqlite3.Connection) -> Iterator[Finding]:
    counts = {str(status): int(count) for status, count in db.execute(INSPECTION["by_status"])}
    total = plural(sum(counts.values()), "task")
    each = ", ".join(f"{status} {count:,}" for status, count in counts.items())
    yield fine("tasks", f"{total} on record: {each}" if counts else "no task is on record")


def _orphans(_: Holding, db: sqlite3.Connection) -> Iterator[Finding]:
    found = {
        name: int(db.execute(INSPECTION[f"orphan_{name}"]).fetchone()[0])
        for name in ("tags", "errors", "edges")
    }
    left = {name: count for name, count in found.items() if count}
    if left:
        rows = ", ".join(f"{count:,} {name}" for name, count in left.items())
        yield problem(
            "orphans",
            f"there are rows of tasks that do not exist: {rows}",
            "something else than taskmill has deleted tasks; delete these rows as well, and turn "
            "PRAGMA foreign_keys on wherever else this file is written",
        )
    else:
        yield fine("orphans", "every tag, error and dependency belongs to a task")


def _running(holding: Holding, db: sqlite3.Connection) -> Iterator[Finding]:
    count = int(db.execute(INSPECTION["running"]).fetchone()[0])
    tasks = plural(count, "task")
    if count and not holding.is_held:
        yield warning(
            "running",
            f"{tasks} on record as running, though nobody dispatches",
            "the process was killed; the next scheduler that opens the file takes them up again",
        )
    else:
        yield fine("running", f"{tasks} on record as running")


def _stuck(holding: Holding, db: sqlite3.Connection) -> Iterator[Finding]:
    blocked = [str(task) for (task,) in db.execute(INSPECTION["stuck_blocked"])]
    waiting = [str(task) for (task,) in db.execute(INSPECTION["stuck_waiting"])]
    if blocked:
        yield problem(
            "stuck",
            f"blocked by nothing that could end: {', '.join(blocked)}",
            f"`taskmill retry {blocked[0]}` runs one anyway, `taskmill cancel` ends it",
        )
    if waiting and holding.is_held:
        yield problem(
            "stuck",
            f"waiting for children, of which none is left: {', '.join(waiting)}",
            f"restart the dispatcher, which wakes them, or end one with `taskmill cancel "
            f"{waiting[0]}`",
        )
    elif waiting:
        yield warning(
            "stuck",
            f"waiting for children, of which none is left: {', '.join(waiting)}",
            "the next scheduler that opens the file wakes them",
        )
    if not blocked and not waiting:
        yield fine("stuck", "whatever is blocked or waits has something to wait for")


def _inbox(holding: Holding, db: sqlite3.Connection) -> Iterator[Finding]:
    count = int(db.execute(INSPECTION["inbox"]).fetchone()[0])
    text = f"{plural(count, 'request')} of other processes unanswered"
    if count and not holding.is_held:
        yield warning(
            "inbox", text, "nobody dispatches; the next scheduler that opens the file answers them"
        )
    elif count > MANY_REQUESTS:
        yield warning("inbox", text, "the dispatcher does not keep up, or is stopped (SIGSTOP)")
    else:
        yield fine("inbox", text)


ROWS: dict[str, Callable[[Holding, sqlite3.Connection], Iterator[Finding]]] = {
    "tasks": _counts,
    "orphans": _orphans,
    "running": _running,
    "stuck": _stuck,
    "inbox": _inbox,
}
