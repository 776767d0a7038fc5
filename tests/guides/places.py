"""Handlers that try one verb of their context each, in the event loop, a thread and a process."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import attrs

from taskmill import Context, Domain, DomainKey, Task
from taskmill.define.context import Context as AnyContext


class Places(DomainKey, name="places"): ...


class Elsewhere(DomainKey, name="elsewhere"): ...


class Nothing(Task[Places], name="nothing"):
    number: int = 0


class Parent(Task[Places], name="parent"):
    """Spawns what is to have a parent."""

    place: str
    verb: str
    blocking: bool


class InLoop(Task[Places, str], name="in_loop"):
    verb: str
    blocking: bool = False


class InThread(Task[Places, str], name="in_thread"):
    verb: str
    blocking: bool = False


class InProcess(Task[Places, str], name="in_process", executor="process"):
    verb: str
    blocking: bool = False


KINDS = {"coroutine": InLoop, "thread": InThread, "process": InProcess}


@attrs.frozen
class Config:
    name: str


def use(ctx: AnyContext[Places], verb: str, *, blocking: bool) -> Any:  # noqa: C901
    """Call one verb: its value, or what is to be awaited."""
    on: Any = ctx.blocking if blocking else ctx
    match verb:
        case "id" | "record" | "attempt" | "fence" | "deadline" | "cancelled" | "log":
            return getattr(on, verb)
        case "blocking":
            return ctx.blocking.spawn(Nothing(number=2))
        case "check":
            return on.check()
        case "progress":
            return on.progress(0.5, "half")
        case "progress_of":
            return on.progress_of(1, 2)
        case "bytes":
            return on.bytes(5, 10)
        case "io":
            return on.io(read=5)
        case "state":
            return on.state(Config)
        case "domain" | "find_domain":
            return getattr(on, verb)(Elsewhere)
        case "spawn":
            return on.spawn(Nothing())
        case "spawn_sibling":
            return on.spawn_sibling(Nothing())
        case "spawn_many" | "spawn_siblings":
            return getattr(on, verb)([Nothing(), Nothing(number=1)])
        case "children":
            return on.children()
        case "set_tags":
            return on.set_tags({"seen": "yes"})
        case "run_in_thread":
            return on.run_in_thread(len, "abc")
        case "submit":
            return on.submit(Nothing(number=3))
        case _:
            raise NotImplementedError(f"nobody tries {verb}")


@Nothing.handler
async def nothing(task: Nothing, ctx: Context[Places]) -> None: ...


@Parent.handler
async def parent(task: Parent, ctx: Context[Places]) -> None:
    await ctx.spawn(KINDS[task.place](verb=task.verb, blocking=task.blocking))


@InLoop.handler
async def in_loop(task: InLoop, ctx: Context[Places]) -> str:
    value = use(ctx, task.verb, blocking=task.blocking)
    return repr(await value if isinstance(value, Awaitable) else value)


@InThread.handler
def in_thread(task: InThread, ctx: Context[Places]) -> str:
    return repr(use(ctx, task.verb, blocking=task.blocking))


@InProcess.handler
def in_process(task: InProcess, ctx: Context[Places]) -> str:
    return repr(use(ctx, task.verb, blocking=task.blocking))


HANDLERS = [nothing, parent, in_loop, in_thread, in_process]


def domain(**options: Any) -> Domain[Places]:
    return Domain(Places, handlers=HANDLERS, state=[Config("from the domain")], **options)
