"""What a run of the checks says, for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence

from taskmill.model.wording import length, plural
from taskmill.selftest.place import Place
from taskmill.selftest.values import Outcome, Verdict


def holds(outcomes: Sequence[Outcome]) -> bool:
    """Whether nothing that could be tried has failed."""
    return all(outcome.verdict is not Verdict.FAILED for outcome in outcomes)


def opening(place: Place) -> list[str]:
    """Where the checks are made, and what that place does not say."""
    kind = f" ({place.filesystem})" if place.filesystem else ""
    where = (
        f"in {place.folder.parent}{kind}"
        if place.beside is None
        else f"in {place.folder.parent}{kind}, beside {place.beside.name}, which is not touched"
    )
    return [f"taskmill selftest {where}", *place.notes()]


def summary(outcomes: Sequence[Outcome]) -> str:
    """All of it in one line."""
    seconds = length(sum(outcome.seconds for outcome in outcomes))
    counts = {verdict: _count(outcomes, verdict) for verdict in Verdict}
    said = [f"{plural(counts[Verdict.OK], 'promise holds', 'promises hold')}"]
    if failed := counts[Verdict.FAILED]:
        said.insert(0, f"{failed} FAILED")
    if absent := counts[Verdict.NOT_HERE]:
        said.append(f"{absent} could not be tried here")
    if warnings := sum(len(outcome.warnings) for outcome in outcomes):
        said.append(plural(warnings, "warning"))
    return f"{', '.join(said)}; {seconds}"


def document(place: Place, outcomes: Sequence[Outcome]) -> dict[str, object]:
    """All of it as values for JSON."""
    return {
        "holds": holds(outcomes),
        "folder": str(place.folder.parent),
        "filesystem": place.filesystem,
        "database": None if place.beside is None else str(place.beside),
        "notes": place.notes(),
        "checks": [
            {
                "name": outcome.name,
                "promise": outcome.promise,
                "verdict": outcome.verdict.value,
                "text": outcome.text,
                "warnings": list(outcome.warnings),
                "seconds": round(outcome.seconds, 3),
            }
            for outcome in outcomes
        ],
    }


def _count(outcomes: Sequence[Outcome], verdict: Verdict) -> int:
    return sum(outcome.verdict is verdict for outcome in outcomes)
