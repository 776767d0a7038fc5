"""Executors that do not keep to their protocol harm the tasks that they run, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from taskmill import (
    Context,
    Domain,
    DomainKey,
    Failure,
    Handler,
    Host,
    Success,
    Task,
    TaskStatus,
    Work,
)
from taskmill.testing import run

pytestmark = pytest.mark.anyio


class Yard(DomainKey, name="yard"): ...


class Job(Task[Yard, str], name="job", executor="odd", max_retries=0): ...


@Job.handler
def job(task: Job, ctx: Context[Yard]) -> str:
    return "done"


class Odd:
    """Makes of every task the same."""

    capacity = None
    fallback = None

    def __init__(self, made: object) -> None:
        self.made = made

    def check(self, handler: Handler[Any]) -> None: ...

    async def start(self, host: Host) -> None: ...

    async def run(self, work: Work) -> Any:  # noqa: ARG002 - whatever it is given
        return self.made

    async def stop(self) -> None: ...


@pytest.mark.parametrize(
    ("made", "status", "message"),
    [
        (None, TaskStatus.FAILED, "an executor returned None, and neither Success, Failure nor"),
        (Success, TaskStatus.FAILED, "an executor returned <class "),
        (Success("5"), TaskStatus.FAILED, "result of Job: expects str, got 5"),
        (Success("done"), TaskStatus.FAILED, "result of Job: what is stored is not JSON"),
        (Success(b"5"), TaskStatus.DEAD, "'bytes' object has no attribute 'encode'"),  # type: ignore[arg-type] # the point
        (Failure(ValueError("x"), message="as said there"), TaskStatus.DEAD, "as said there"),
    ],
)
async def test_what_an_executor_returns_is_looked_at(
    made: object, status: TaskStatus, message: str
) -> None:
    [record] = await run(Domain(Yard, handlers=[job]), Job(), executors={"odd": Odd(made)})
    assert record.status is status
    assert record.last_error is not None
    assert message in record.last_error.message
