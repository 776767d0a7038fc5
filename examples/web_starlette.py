"""The same on Starlette alone: ``uvicorn examples.web_starlette:app``."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from examples.web_fastapi import Render, Reports, make_scheduler
from taskmill import Scheduler, TaskId, UnknownTaskError


async def order(request: Request) -> JSONResponse:
    scheduler: Scheduler = request.state.scheduler
    task = Render(customer=request.path_params["customer"])
    submitted = await scheduler.domain(Reports).submit(task)
    return JSONResponse({"id": submitted.id}, 202)


async def look(request: Request) -> JSONResponse:
    scheduler: Scheduler = request.state.scheduler
    try:
        record = await scheduler.domain(Reports).get(TaskId(request.path_params["id"]))
    except UnknownTaskError as error:
        return JSONResponse({"detail": str(error)}, 404)
    return JSONResponse({"status": record.status, "result": record.result})


def make_app(scheduler: Scheduler) -> Starlette:
    """The application; the scheduler opens and closes with it."""
    routes = [
        Route("/reports/{customer:str}", order, methods=["POST"]),
        Route("/reports/{id:int}", look),
    ]
    return Starlette(routes=routes, lifespan=scheduler.lifespan)


app = make_app(make_scheduler("reports.db"))
