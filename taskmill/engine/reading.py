"""Whether the code that is here can read what is stored of work that has yet to run."""

from __future__ import annotations

from taskmill.engine.registry import Registration, Registry
from taskmill.model.errors import PayloadError
from taskmill.model.stages import Stage
from taskmill.model.storedwork import StoredSchedule, StoredTask, StoredWork


def misfit(registry: Registry, stored: StoredWork) -> PayloadError | None:
    """Why this code could not run what is stored; None where it can.

    A schedule that the code declares is made anew when a scheduler opens, and one that it declares
    no longer is paused: neither has to be read.
    """
    match stored:
        case StoredSchedule(is_declared=True, domain=domain) if domain in registry.domains:
            return None
        case _:
            pass
    known = registry.find(stored.type)
    if known is None or known.handler is None:
        return PayloadError(f"no domain here has a handler for {stored.type!r}")
    try:
        known.codec.decode(stored.payload)
        if isinstance(stored, StoredTask):
            _check_next(known, stored)
    except PayloadError as error:
        return error
    return None


def _check_next(known: Registration, stored: StoredTask) -> None:
    """Raise PayloadError where a task is past its handler, and what comes then does not fit."""
    if stored.stage.part is Stage.FINALIZE and known.routine is not None:
        known.routine.function(Stage.FINALIZE)
        if known.memo is not None:
            known.memo.decode(stored.memo)
