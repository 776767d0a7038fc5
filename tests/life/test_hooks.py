"""A domain prepares itself before its tasks start, and cleans up when none runs any more."""

from __future__ import annotations

from typing import Any

import pytest

from taskmill import (
    ConfigurationError,
    Domain,
    DomainHandle,
    Scheduler,
    SchedulerFailed,
)
from taskmill.testing import virtual_time
from tests.life.app import Diary, Errand, Nap, Other, Work, errand, nap

pytestmark = pytest.mark.anyio


def two_domains(diary: Diary, **hooks: Any) -> list[Domain[Any]]:
    async def start(handle: DomainHandle[Any]) -> None:
        diary.write(f"start {handle.name}")
        if handle.name == "work":
            await handle.submit(Nap(name="first"))

    async def stop(handle: DomainHandle[Any]) -> None:
        diary.write(f"stop {handle.name}")
        if handle.name == "other":
            await handle.submit(Errand())
        else:
            await handle.submit(Nap(name="last"))

    own: dict[str, Any] = {"on_start": start, "on_stop": stop, **hooks}
    return [
        Domain(Work, handlers=[nap], state=[diary], **own),
        Domain(Other, handlers=[errand], state=[diary], on_start=start, on_stop=stop),
    ]


async def test_hooks_frame_everything_that_runs() -> None:
    diary = Diary()
    async with (
        virtual_time() as clock,
        Scheduler(":memory:", domains=two_domains(diary), clock=clock) as scheduler,
    ):
        await scheduler.idle()
        diary.write("body")
    assert diary.lines == [
        "start work",
        "start other",
        "nap first",
        "body",
        "stop other",
        "stop work",
    ]


async def test_a_domain_that_cannot_start_keeps_the_scheduler_from_opening() -> None:
    diary = Diary()

    async def broken(handle: DomainHandle[Any]) -> None:
        raise OSError("no such host")

    scheduler = Scheduler(":memory:", domains=two_domains(diary, on_start=broken))
    with pytest.raises(SchedulerFailed, match="on_start of domain 'work' failed") as raised:
        async with scheduler:
            diary.write("body")
    assert isinstance(raised.value.__cause__, OSError)
    assert not diary.lines


async def test_a_domain_that_cannot_stop_keeps_nobody_from_stopping(
    caplog: pytest.LogCaptureFixture,
) -> None:
    diary = Diary()

    async def broken(handle: DomainHandle[Any]) -> None:
        raise OSError("no such host")

    async with Scheduler(":memory:", domains=two_domains(diary, on_stop=broken)) as scheduler:
        await scheduler.idle()
    assert "on_stop of domain 'work' failed" in caplog.text
    assert diary.lines[-1] == "stop other"


def test_hooks_are_coroutine_functions_of_the_handle() -> None:
    with pytest.raises(ConfigurationError, match="on_start must be an async def"):
        Domain(Work, handlers=[nap], on_start=print)  # type: ignore[arg-type]
