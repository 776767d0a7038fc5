"""The middle of the live view: how each domain and the largest groups stand."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from taskmill.cli.grid import Column, grid
from taskmill.cli.harmless import one_line
from taskmill.cli.top.state import Frame
from taskmill.model.snapshot import DomainSnapshot, GroupSnapshot


def domains(frame: Frame, width: int, height: int) -> list[Text]:
    """At most ``height`` lines about domains, the busiest first; none where there is no room."""
    found = sorted(frame.snapshot.domains.values(), key=_busy, reverse=True)
    if height < 2 or not found:
        return []
    columns = (
        Column(name="domain", gives_way=True),
        Column(name="running", justify="right"),
        Column(name="pending", justify="right"),
        Column(name="paused", justify="right", from_width=50),
        Column(name="blocked", justify="right", from_width=58),
        Column(name="waiting", justify="right", from_width=66),
        Column(name="done", justify="right", from_width=74),
    )
    rows = [
        (
            _name(domain.name, is_paused=domain.is_paused),
            _of(len(domain.running), domain.max_concurrency),
            f"{domain.pending_count:,}",
            f"{domain.paused_count:,}",
            f"{domain.blocked_count:,}",
            f"{domain.waiting_count:,}",
            "" if domain.progress is None else f"{domain.progress:.0%}",
        )
        for domain in found
    ]
    return _bounded(grid(columns, rows, width), height, "domains")


def groups(frame: Frame, width: int, height: int) -> list[Text]:
    """At most ``height`` lines about groups, the largest first; none where all is in one."""
    found = [
        group
        for group in frame.snapshot.groups.values()
        if group.running or group.pending or group.is_paused
    ]
    if height < 2 or all(group.name is None for group in found):
        return []
    found.sort(key=lambda group: (-group.running - group.pending, group.name or ""))
    is_shared = any(group.entitled is not None for group in found)
    columns = (
        Column(name="group", gives_way=True),
        Column(name="running", justify="right"),
        Column(name="pending", justify="right"),
        *([Column(name="share", justify="right", from_width=50)] if is_shared else []),
        *([Column(name="weight", justify="right", from_width=58)] if is_shared else []),
    )
    rows = [_group_row(group, is_shared=is_shared) for group in found]
    return _bounded(grid(columns, rows, width), height, "groups")


def _group_row(group: GroupSnapshot, *, is_shared: bool) -> Sequence[str | Text]:
    name = "(none)" if group.name is None else group.name
    shares = (f"{group.entitled or 0}", f"{group.weight}") if is_shared else ()
    return (
        _name(name, is_paused=group.is_paused),
        _of(group.running, group.max_concurrency),
        f"{group.pending:,}",
        *shares,
    )


def _bounded(lines: list[Text], height: int, what: str) -> list[Text]:
    if len(lines) <= height:
        return lines
    left = len(lines) - height + 1
    return [*lines[: height - 1], Text(f"and {left:,} more {what}", "dim")]


def _busy(domain: DomainSnapshot) -> tuple[int, int]:
    return len(domain.running), domain.pending_count


def _of(count: int, cap: int | None) -> str:
    return f"{count:,}" if cap is None else f"{count:,}/{cap:,}"


def _name(name: str, *, is_paused: bool) -> str | Text:
    return Text(f"{one_line(name)} (paused)", "yellow") if is_paused else name
