"""A scheduler that opens and closes with a web application, on the real frameworks."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from examples import web_fastapi, web_starlette
from taskmill import Scheduler, TaskStatus

MAKERS = {"fastapi": web_fastapi.make_app, "starlette": web_starlette.make_app}


@pytest.fixture(params=MAKERS)
def make_app(request: pytest.FixtureRequest) -> Callable[[Scheduler], Any]:
    return MAKERS[request.param]


def ended(client: TestClient, task: int) -> dict[str, Any]:
    """How a report has ended; asked again and again, as a client would."""
    while True:
        answer: dict[str, Any] = client.get(f"/reports/{task}").json()
        if answer["status"] not in ("pending", "running"):
            return answer


def test_requests_reach_the_scheduler_and_what_they_order_is_done(
    make_app: Callable[[Scheduler], Any], tmp_path: Path
) -> None:
    scheduler = web_fastapi.make_scheduler(str(tmp_path / "app.db"), seconds=0)
    with TestClient(make_app(scheduler)) as client:
        accepted = client.post("/reports/mill")
        assert accepted.status_code == 202
        found = ended(client, accepted.json()["id"])
        assert (found["status"], json.loads(found["result"])) == ("completed", "report of mill")
        assert client.get("/reports/4711").status_code == 404


def test_what_was_ordered_before_a_restart_is_done_after_it(
    make_app: Callable[[Scheduler], Any], tmp_path: Path
) -> None:
    database = tmp_path / "app.db"
    scheduler = web_fastapi.make_scheduler(str(database), seconds=0)
    with TestClient(make_app(scheduler)) as client:
        client.portal.call(scheduler.pause)  # type: ignore[union-attr] # it is open
        task = client.post("/reports/mill").json()["id"]
    with sqlite3.connect(database) as db:
        assert db.execute("SELECT status FROM taskmill_tasks").fetchall() == [("pending",)]
    with TestClient(make_app(scheduler)) as client:
        client.portal.call(scheduler.resume)  # type: ignore[union-attr] # it is open
        assert ended(client, task)["status"] == TaskStatus.COMPLETED


def test_an_application_whose_file_is_in_use_does_not_start(
    make_app: Callable[[Scheduler], Any], tmp_path: Path
) -> None:
    database = str(tmp_path / "app.db")
    first = make_app(web_fastapi.make_scheduler(database))
    second = make_app(web_fastapi.make_scheduler(database))
    with (
        TestClient(first),
        pytest.raises(Exception, match=r"app\.db is in use: process \d+ on"),
        TestClient(second),
    ):
        pass
