"""Both type checkers refuse exactly the lines marked with E."""

from __future__ import annotations

from taskmill import Context
from tests.typing.accepted import Fetch, Ingest, Process, Scan


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
