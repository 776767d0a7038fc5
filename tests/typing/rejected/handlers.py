"""Both type checkers refuse exactly the lines marked with E."""

from __future__ import annotations

from taskmill import Context, Secret, Task
from tests.typing.accepted import (
    Fetch,
    Ingest,
    Process,
    Scan,
    Tally,
    forget,
    forget_plainly,
    number,
    tally,
    tally_plainly,
    tally_up,
    tally_up_plainly,
)


@Scan.handler  # E: the payload is another type
async def bad_payload(task: Fetch, ctx: Context[Ingest]) -> list[str]:
    return []


@Scan.handler  # E: the context is of another domain
async def bad_context(task: Scan, ctx: Context[Process]) -> list[str]:
    return []


@Scan.handler  # E: the result is another type
async def bad_result(task: Scan, ctx: Context[Ingest]) -> str:
    return ""


@Fetch.handler  # E: a result where none is declared
async def bad_none(task: Fetch, ctx: Context[Ingest]) -> int:
    return 1


@Fetch.handler  # E: the same, in a plain function
def bad_plain(task: Fetch, ctx: Context[Ingest]) -> int:
    return 1


async def late_payload(task: Scan, ctx: Context[Ingest]) -> None: ...


Fetch.handler(late_payload)  # E: as a call


async def takes_text(task: Tally, found: str, ctx: Context[Ingest]) -> int:
    return len(found)


async def makes_text(task: Tally, found: list[str], ctx: Context[Ingest]) -> str:
    return ""


async def of_another(task: Scan, found: list[str], ctx: Context[Ingest]) -> int:
    return 1


async def elsewhere(task: Tally, found: list[str], ctx: Context[Process]) -> int:
    return 1


async def makes_a_number(task: Tally, ctx: Context[Ingest]) -> int:
    return 1


async def of_fetch(task: Fetch, ctx: Context[Ingest]) -> None: ...


Tally.handler(tally)  # E: without a finalize, what it returns is the result
Tally.handler(tally, finalize=takes_text)  # E: finalize takes something else
Tally.handler(number, finalize=tally_up)  # E: the same
Tally.handler(tally, finalize=makes_text)  # E: the result of finalize is another type
Tally.handler(tally, finalize=of_another)  # E: finalize of another task
Tally.handler(tally, finalize=elsewhere)  # E: finalize in another domain
Tally.handler(tally, finalize=forget)  # E: finalize without what was returned
Tally.handler(tally_plainly, finalize=tally_up)  # E: a coroutine function after a plain one
Tally.handler(tally, finalize=tally_up_plainly)  # E: a plain function after a coroutine function
Tally.handler(number, on_cancel=makes_a_number)  # E: on_cancel has no result
Tally.handler(number, on_cancel=of_fetch)  # E: on_cancel of another task
Tally.handler(number, on_cancel=forget_plainly)  # E: a plain on_cancel of a coroutine function
Tally.handler(number, on_cancel=tally_up)  # E: on_cancel gets nothing that was returned
Tally.handler(number, finalise=tally_up)  # E: a misspelt part


class Hidden(Task[Ingest], name="hidden"):
    word: Secret[str]


Hidden(word="in clear")  # E: text is no secret
Hidden(word=Secret(b"bytes"))  # E: a secret of bytes is none of text
Secret(5)  # E: a number is no secret
