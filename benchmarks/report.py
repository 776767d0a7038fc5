"""What is printed: aligned tables of results, of the scenarios there are, of two documents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from benchmarks.document import Conditions, Document, FloorResult, Result
from benchmarks.scenario import AtLeast, AtMost, OfFloor, Scenario, Target, is_met
from benchmarks.setting import Unit


def results(kept: Document, scenarios: Sequence[Scenario]) -> str:
    """The figures of one run: medians with their range, floors, ratios and targets."""
    known = {scenario.name: scenario for scenario in scenarios}
    rows = [("scenario", "n", "median", "min - max", "floor", "", "ratio", "target", "")]
    for result in kept.results:
        target = _target_of(known[result.name], result, kept.conditions)
        rows.append(
            (
                result.name,
                f"{result.n:,}",
                figure(result.median, result.unit),
                f"{_number(result.min, result.unit)} - {_number(result.max, result.unit)}",
                result.floor.name,
                figure(result.floor.value, result.floor.unit),
                f"{result.ratio:.2f}",
                "" if target is None else _described(target, result.unit),
                "" if target is None else _verdict(target, result),
            )
        )
    return "\n".join([_conditions(kept), "", *aligned(rows), "", *_beside(kept.results)])


def scenarios_there_are(scenarios: Sequence[Scenario]) -> str:
    """Each scenario and each floor, in a sentence."""
    rows = [(scenario.name, scenario.description) for scenario in scenarios]
    floors = {floor.name: floor for scenario in scenarios for floor in scenario.floors}
    rows += [("", ""), ("Floors:", "")]
    rows += [(floor.name, floor.description) for floor in floors.values()]
    return "\n".join(aligned(rows))


def comparison(old: Document, new: Document) -> str:
    """The figures of two runs side by side, for the scenarios that both have.

    ``faster`` is above 1 where the new figure is the better one; ``by floors`` is the same for
    the ratios to the floors, which a busier machine changes less.
    """
    before = {result.name: result for result in old.results}
    rows = [("scenario", "old", "new", "faster", "by floors")]
    for after in new.results:
        was = before.get(after.name)
        if was is None or was.unit != after.unit:
            continue
        rows.append(
            (
                after.name,
                figure(was.median, was.unit),
                figure(after.median, after.unit),
                _times_faster(was.median, after.median, after.unit),
                _times_faster(was.ratio, after.ratio, after.unit),
            )
        )
    warning = [] if old.conditions == new.conditions else ["", "The two differ in what was asked:"]
    if warning:
        warning += [_conditions(old), _conditions(new)]
    return "\n".join([*aligned(rows), *warning])


def _times_faster(old: float, new: float, unit: str) -> str:
    better, worse = (new, old) if Unit(unit).more_is_better else (old, new)
    return f"{better / max(worse, 1e-9):.2f}"


def _conditions(kept: Document) -> str:
    machine, asked = kept.machine, kept.conditions
    store = "in memory" if asked.memory else f"durability {asked.durability}"
    store += ", uvloop" if asked.uvloop else ""
    return (
        f"Python {machine.python}, SQLite {machine.sqlite}, {machine.cpus} CPUs; {store}, "
        f"{asked.concurrency} slots, {asked.repeat} runs"
    )


def _beside(found: Sequence[Result]) -> list[str]:
    """The CPU times, the 99th percentiles, the further floors, and what went wrong."""
    lines: list[str] = []
    for result in found:
        notes = [_floor(floor) for floor in result.other_floors]
        if result.cpu_us is not None:
            notes.insert(0, _cpu(result.cpu_us, result.floor))
        if result.p99 is not None:
            notes.insert(0, f"p99 {figure(result.p99, result.unit)}")
        if result.problem is not None:
            notes.insert(0, f"WRONG: {result.problem}")
        if notes:
            lines.append(f"{result.name}: {'; '.join(notes)}")
    return lines


def _cpu(cpu_us: float, floor: FloorResult) -> str:
    """The ratio of CPU times says more than that of rates where the machine is busy."""
    cost = f"CPU {cpu_us:.1f} us a task"
    if floor.cpu_us is None:
        return cost
    return f"{cost}, {cpu_us / max(floor.cpu_us, 1e-9):.2f} x that of {floor.name}"


def _floor(floor: FloorResult) -> str:
    return f"{floor.name} {figure(floor.value, floor.unit)}"


def _target_of(scenario: Scenario, result: Result, asked: Conditions) -> Target | None:
    """What the figure is to reach; None where it was taken under other conditions."""
    applies = asked.durability == "power" and not asked.memory and result.n >= scenario.target_n
    return scenario.target if applies else None


def _verdict(target: Target, result: Result) -> str:
    return "met" if is_met(target, result.median, result.ratio) else "missed"


def _described(target: Target, unit: str) -> str:
    match target:
        case AtLeast(value=least):
            return f">= {figure(least, unit)}"
        case AtMost(value=most):
            return f"<= {figure(most, unit)}"
        case OfFloor(share=share):
            return f">= {share:g} x floor"
        case _:
            assert_never(target)


def figure(value: float, unit: str) -> str:
    """A figure as it is shown, with its unit."""
    return f"{_number(value, unit)} {unit}"


def _number(value: float, unit: str) -> str:
    return f"{value:,.0f}" if Unit(unit) is Unit.RATE else f"{value:,.2f}"


def aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows as lines, each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
