"""The top of the live view: whose database it is, how full it is, and how fast it goes."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from taskmill.cli.harmless import one_line
from taskmill.cli.top.state import Frame, State

GAP = "  "


def header(state: State, width: int) -> list[Text]:
    """A line of who and where, and one or two of figures."""
    frame = state.frame
    if frame is None:
        return [Text("taskmill", "bold"), Text("reading the database ...")]
    return [_title(frame, width), *_packed(list(_figures(state, frame)), width)]


def _title(frame: Frame, width: int) -> Text:
    line = Text.assemble(("taskmill", "bold"), GAP, (one_line(frame.name), "cyan"), GAP)
    if not frame.is_live:
        line.append("nobody dispatches; as stored", "yellow")
    elif frame.holder is not None:
        line.append(one_line(frame.holder), "dim")
    time = f"{frame.at.astimezone():%H:%M:%S}"
    if line.cell_len + len(GAP) + len(time) <= width:
        line.pad_right(width - line.cell_len - len(time))
        line.append(time)
    return line


def _figures(state: State, frame: Frame) -> Iterator[Text]:
    shot = frame.snapshot
    if shot.is_paused:
        yield Text("PAUSED", "bold yellow reverse")
    used = len(shot.running)
    cap = f"/{shot.max_concurrency}" if frame.is_live else ""
    yield Text(f"slots {used}{cap}", "green" if used else "")
    yield Text(f"pending {shot.pending_count:,}")
    for name, count in (
        ("paused", shot.paused_count),
        ("blocked", shot.blocked_count),
        ("waiting", shot.waiting_count),
    ):
        if count:
            yield Text(f"{name} {count:,}", "yellow" if name == "paused" else "")
    if shot.pressures:
        style = "red" if shot.pressure > 0.75 else ""
        worst = max(shot.pressures, key=lambda name: shot.pressures[name])
        yield Text(f"pressure {shot.pressure:.0%} {one_line(worst)}", style)
    if state.rates is not None:
        yield Text(f"{state.rates.started:,.1f} started/s")
        yield Text(f"{state.rates.ended:,.1f} ended/s")
    for name, executor in shot.executors.items():
        if executor.down is not None:
            yield Text(f"{one_line(name)} is down", "bold red")
    if shot.loop_blocks:
        yield Text(f"loop blocked {shot.loop_blocks:,} times", "yellow")


def _packed(pieces: list[Text], width: int) -> list[Text]:
    """The pieces on as few lines as hold them, two at most."""
    packed = [Text()]
    for piece in pieces:
        if packed[-1] and packed[-1].cell_len + len(GAP) + piece.cell_len > width:
            if len(packed) == 2:
                break
            packed.append(Text())
        if packed[-1]:
            packed[-1].append(GAP)
        packed[-1].append_text(piece)
    return packed
