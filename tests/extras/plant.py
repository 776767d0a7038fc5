"""A domain whose handlers run in worker processes, which import this module."""

from __future__ import annotations

from opentelemetry.trace import format_trace_id, get_current_span

from taskmill import Context, Domain, DomainKey, Task
from taskmill.otel import submitted_in


class Plant(DomainKey, name="plant"): ...


class Mill(Task[Plant], name="mill", executor="process"):
    """Spawns a part."""


class Part(Task[Plant, str], name="part", executor="process"):
    """Returns the id of the trace that it was submitted in."""


class Broken(Task[Plant], name="broken", executor="process", max_retries=0):
    """Fails."""


@Mill.handler
def mill(task: Mill, ctx: Context[Plant]) -> None:
    ctx.blocking.spawn(Part())


@Part.handler
def part(task: Part, ctx: Context[Plant]) -> str:
    assert not get_current_span().get_span_context().is_valid
    return format_trace_id(get_current_span(submitted_in(ctx.record)).get_span_context().trace_id)


@Broken.handler
def broken(task: Broken, ctx: Context[Plant]) -> None:
    raise ZeroDivisionError("no grain")


def domain() -> Domain[Plant]:
    return Domain(Plant, handlers=[mill, part, broken])
