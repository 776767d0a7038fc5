"""Both type checkers refuse exactly the lines marked with E."""

from __future__ import annotations

from taskmill import Context, Domain, DomainHandle, DomainKey, Scheduler, Task
from tests.typing.accepted import Fetch, Ingest, Process, Scan, Transcode, fetch


async def wrong(scheduler: Scheduler, ingest: DomainHandle[Ingest], ctx: Context[Ingest]) -> None:
    await ingest.submit(Transcode(source="x"))  # E: a task of another domain
    await scheduler.domain(Process).submit(Fetch(url="x"))  # E: the same
    await ingest.submit_many([Fetch(url="x"), Transcode(source="x")])  # E: one of another domain
    await ctx.spawn(Transcode(source="x"))  # E: a child of another domain
    ingest.events(Transcode)  # E: events of another domain's type
    await ingest.submit(Fetch(url=1))  # E: a field of the wrong type
    await ingest.submit(Fetch())  # E: a missing field
    await ingest.submit(Fetch("x"))  # E: a positional field
    await ingest.submit(Fetch(url="x"), priorty=1)  # E: a misspelt option
    await ingest.submit(Fetch(url="x"), delay=5)  # E: an option of the wrong type
    Fetch(url="x").url = "y"  # E: payloads are frozen
    Domain(Process, handlers=[fetch])  # E: a foreign handler
    Domain(Process, tasks=[Fetch])  # E: a foreign task type
    Domain(Ingest, handlers=[fetch], max_concurency=1)  # E: a misspelt option of a domain
    handle: DomainHandle[DomainKey] = ingest  # E: handles are of one domain
    text: str = await ingest.result(await ingest.submit(Scan(root="x")))  # E: another result type
    await ingest.count(typ=[Fetch])  # E: a misspelt filter
    await ingest.tasks(tags="job")  # E: a filter of the wrong type
    await ingest.tasks(tag_prefx="b")  # E: a misspelt filter of a page
    await ingest.tasks(after=5)  # E: no cursor
    await ingest.count_by_tag(key="job")  # E: the tag to count by is given by its place
    await ingest.history(Transcode)  # E: a task of another domain
    await ingest.find("k")  # E: a key without its name
    (await ingest.tasks()).items = ()  # E: pages are frozen
    print(handle, text)


class Nameless(Task[Ingest]):  # E: no name
    url: str


class Misspelt(Task[Ingest], name="m", prio=3):  # E: a misspelt option
    url: str


class WrongOption(Task[Ingest], name="m", priority="x"):  # E: an option of the wrong type
    url: str


class Shadow(Task[Ingest], name="s"):
    handler: str  # E: a reserved name


class KeylessDomain(DomainKey): ...  # E: no name
