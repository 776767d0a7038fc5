"""What tracing of one's own is told, and what becomes of what it raises."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest

from taskmill import (
    AttemptEnd,
    Permanent,
    RetryPolicy,
    Submitted,
    TaskRecord,
    TaskStatus,
)
from taskmill.rules.options import carried
from tests.engine.app import SECOND, Errand, Fail, Nap, open_app

pytestmark = pytest.mark.anyio


@attrs.define
class Diary:
    """Tracing that writes down what it is told."""

    lines: list[str] = attrs.field(factory=list[str])
    carrier: dict[str, str] = attrs.field(factory=dict[str, str])
    breaks: str = ""

    @contextmanager
    def sending(self, types: Sequence[str]) -> Generator[Page]:
        if self.breaks == "sending":
            raise OSError("no diary")
        yield Page(self, ", ".join(types), dict(self.carrier))

    @contextmanager
    def processing(self, record: TaskRecord, carrier: Mapping[str, str]) -> Generator[Page]:
        if self.breaks == "processing":
            raise Permanent("no diary")
        yield Page(self, f"{record.type} {record.run}", carrier)


@attrs.frozen
class Page:
    diary: Diary
    about: str
    carrier: Mapping[str, str]

    def sent(self, submitted: Sequence[Submitted[Any]]) -> None:
        self.diary.lines.append(f"sent {self.about}: {[each.outcome.value for each in submitted]}")

    def ended(self, end: AttemptEnd) -> None:
        error = None if end.error is None else end.error.type
        self.diary.lines.append(f"{self.about}: {error or end.interruption} {dict(self.carrier)}")


async def test_each_submit_and_each_attempt_is_told_with_what_was_carried(tmp_path: Path) -> None:
    path, quick = str(tmp_path / "app.db"), RetryPolicy(max_retries=1, base=SECOND)
    diary = Diary(carrier={"page": "7"})
    async with open_app(path, tracing=diary) as app:
        await app.work.submit(Fail(name="f", times=1), retry=quick)
        await app.scheduler.idle()
        await app.scheduler.submit_many([Nap(name="a"), Errand()])
        await app.scheduler.idle()
        await app.work.submit(Nap(name="b"), delay=timedelta(minutes=1), timeout=SECOND)
    assert diary.lines == [
        "sent work::fail: ['inserted']",
        "work::fail 1: ValueError {'page': '7'}",
        "work::fail 2: None {'page': '7'}",
        "sent work::nap, other::errand: ['inserted', 'inserted']",
        "other::errand 1: None {'page': '7'}",  # it never waits
        "work::nap 1: None {'page': '7'}",
        "sent work::nap: ['inserted']",
    ]
    later = Diary()
    async with open_app(path, tracing=later) as app:
        await anyio.sleep(120)
        await app.scheduler.idle()
    assert later.lines == ["work::nap 1: None {'page': '7'}"]


async def test_tasks_with_something_carried_run_where_nothing_traces(tmp_path: Path) -> None:
    path = str(tmp_path / "app.db")
    async with open_app(path, tracing=Diary(carrier={"page": "7"})) as app:
        task = await app.work.submit(Nap(name="a"), delay=SECOND, timeout=SECOND)
    async with open_app(path) as app:
        record = await app.scheduler.wait(task.id)
        assert record.status is TaskStatus.COMPLETED
        assert carried(record.options) == {"page": "7"}


async def test_what_stops_an_attempt_is_told_by_its_cause() -> None:
    diary = Diary()
    async with open_app(tracing=diary) as app:
        task = await app.work.submit(Nap(name="a", seconds=60))
        await anyio.sleep(1)
        await app.work.pause()
        await anyio.sleep(1)
        await app.work.resume()
        await anyio.sleep(1)
        await app.work.cancel(task.id)
        await app.scheduler.idle()
        await app.work.submit(Nap(name="late", seconds=60), timeout=SECOND, max_retries=0)
        await app.scheduler.idle()
    assert [line for line in diary.lines if not line.startswith("sent")] == [
        "work::nap 1: paused {}",
        "work::nap 2: cancelled {}",
        "work::nap 1: TimeoutError {}",
    ]


async def test_what_tracing_raises_comes_out_of_the_submit_or_fails_the_attempt() -> None:
    diary = Diary(breaks="sending")
    async with open_app(tracing=diary) as app:
        with pytest.raises(OSError, match="no diary"):
            await app.work.submit(Nap(name="a"))
        assert await app.scheduler.count() == 0
        diary.breaks = "processing"
        task = await app.work.submit(Nap(name="a"))
        record = await app.scheduler.wait(task.id)
        assert record.status is TaskStatus.FAILED
        assert record.reason == "Permanent: no diary"
        assert app.board.started == []
