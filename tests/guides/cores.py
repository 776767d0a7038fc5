"""What the tests of worker processes run there, beside the archive: found by its name in each."""

from __future__ import annotations

import os
import re
from pathlib import Path

from taskmill import Context, Domain, DomainKey, Task


class Cores(DomainKey, name="cores"): ...


class Meet(Task[Cores, int], name="meet", executor="process"):
    """Opens one end of a pipe, which blocks until somebody opens the other; returns its process."""

    pipe: Path
    flags: int


class Whereabouts(Task[Cores, int], name="whereabouts", executor="process"):
    """Returns the process it runs in."""


class Backtrack(Task[Cores], name="backtrack", executor="process"):
    """Says that it begins, and then matches for ever, in C and without letting go of the GIL."""


@Meet.handler
def meet(task: Meet, ctx: Context[Cores]) -> int:
    os.close(os.open(task.pipe, task.flags))
    return os.getpid()


@Whereabouts.handler
def tell_whereabouts(task: Whereabouts, ctx: Context[Cores]) -> int:
    return os.getpid()


@Backtrack.handler
def backtrack(task: Backtrack, ctx: Context[Cores]) -> None:
    ctx.progress(0.5)
    re.fullmatch("(a+)+b", "a" * 40)


def cores_domain() -> Domain[Cores]:
    return Domain(Cores, handlers=[meet, tell_whereabouts, backtrack])
