"""A web application on FastAPI that hands work to its scheduler.

Serve it with ``uvicorn examples.web_fastapi:app``.
"""

from typing import Annotated

import anyio
import attrs
from fastapi import Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel

from taskmill import (
    Context,
    Domain,
    DomainHandle,
    DomainKey,
    Scheduler,
    Task,
    TaskId,
    UnknownTaskError,
)


class Reports(DomainKey, name="reports"):
    """Reports that take a while."""


@attrs.frozen(kw_only=True)
class Pace:
    """How long a report takes, in seconds."""

    seconds: float


class Render(Task[Reports, str], name="render"):
    """Render the report of one customer."""

    customer: str


@Render.handler
async def render(task: Render, ctx: Context[Reports]) -> str:
    await anyio.sleep(ctx.state(Pace).seconds)
    return f"report of {task.customer}"


def make_scheduler(database: str, *, seconds: float = 1) -> Scheduler:
    domain = Domain(Reports, handlers=[render], state=[Pace(seconds=seconds)], max_concurrency=4)
    return Scheduler(database, domains=[domain])


def reports(request: Request) -> DomainHandle[Reports]:
    """The handle of the domain; the lifespan has put the scheduler into the request's state."""
    scheduler: Scheduler = request.state.scheduler
    return scheduler.domain(Reports)


ReportsHandle = Annotated[DomainHandle[Reports], Depends(reports)]


class Accepted(BaseModel):
    """What a client gets for an order: where to ask for it."""

    id: int


class Report(BaseModel):
    """How far a report is."""

    status: str
    result: str | None = None


def make_app(scheduler: Scheduler) -> FastAPI:
    """The application; the scheduler opens and closes with it."""
    app = FastAPI(lifespan=scheduler.lifespan)

    @app.post("/reports/{customer}", status_code=202)
    async def order(customer: str, handle: ReportsHandle) -> Accepted:
        """Accepted means kept: the report is rendered even if this process is killed."""
        return Accepted(id=(await handle.submit(Render(customer=customer))).id)

    @app.get("/reports/{id}")
    async def look(id: int, handle: ReportsHandle) -> Report:  # noqa: A002 - the name in the path
        try:
            record = await handle.get(TaskId(id))
        except UnknownTaskError:
            raise HTTPException(404, f"there is no report {id}") from None
        return Report(status=record.status, result=record.result)

    return app


app = make_app(make_scheduler("reports.db"))
