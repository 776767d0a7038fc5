"""What travels over the socket beside the file, and what the dispatcher puts up with there."""

from __future__ import annotations

import json
import socket
import stat
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import anyio
import pytest

from taskmill import Scheduler
from taskmill.link.address import LONGEST, address_of, connect
from taskmill.link.values import event_from_json
from taskmill.model import events as kinds
from taskmill.model.errors import PayloadError
from taskmill.model.events import Event, TaskHeader
from taskmill.model.pauses import PauseScope
from taskmill.model.record import ErrorRecord, TaskId
from taskmill.model.sharing import GroupPolicy, RateLimit
from tests.client.test_client import both, client
from tests.life.app import HOUR, SECOND, Nap, Work, domains, open_app

pytestmark = pytest.mark.anyio

NOW = datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


async def test_the_socket_is_its_owners_alone_and_goes_with_the_dispatcher(tmp_path: Path) -> None:
    address = tmp_path / "app.db.sock"
    async with open_app(str(tmp_path / "app.db")):
        await anyio.sleep(0.1)
        mode = address.stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600
    assert not address.exists()


async def test_the_socket_of_a_dispatcher_that_died_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "app.db.sock"))
    async with both(tmp_path / "app.db") as (app, work, _):
        before = app.seconds()
        assert await work.result(await work.submit(Nap(name="a"))) == "a"
        assert app.seconds() - before < 0.02


async def test_a_socket_that_was_removed_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    async with both(path, poll_interval=SECOND / 2) as (app, work, _):
        await anyio.sleep(0.1)
        address_of(path).unlink()
        await anyio.sleep(1)
        before = app.seconds()
        async with client(path, app.clock) as late:
            assert (await late.snapshot()).is_live
            assert await work.result(await work.submit(Nap(name="a"))) == "a"
        assert app.seconds() - before < 0.02
    assert not address_of(path).exists()


async def test_a_dispatcher_that_takes_no_more_connections_is_nobody_there(tmp_path: Path) -> None:
    """As one that is stopped while many come; asyncio believes that it has connected."""
    path = tmp_path / "app.db"
    with ExitStack() as sockets:
        listener = sockets.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(address_of(path)))
        listener.listen(0)
        with suppress(BlockingIOError):
            while True:
                other = sockets.enter_context(socket.socket(socket.AF_UNIX))
                other.setblocking(False)
                other.connect(str(address_of(path)))
        async with client(path) as web:
            work = web.domain(Work)
            task = await work.submit(Nap(name="a"))
            assert not (await web.snapshot()).is_live
            assert await work.cancel(task.id)


async def test_a_long_path_has_a_socket_all_the_same(tmp_path: Path) -> None:
    folder = tmp_path
    while len(str(folder)) < 2 * LONGEST:
        folder = folder / ("x" * 50)
    folder.mkdir(parents=True)
    async with both(folder / "app.db") as (app, work, _):
        before = app.seconds()
        assert await work.result(await work.submit(Nap(name="a"))) == "a"
        assert app.seconds() - before < 0.02


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\n",
        b"hello\n",
        b"[1]\n",
        b"\xff\xfe\n",
        b'{"verb": "explode", "id": 1}\n',
        b'{"verb": "look", "id": "1"}\n',
        b'{"verb": "explain", "id": 1, "task": "x"}\n',
        b'{"verb": "look"',
        b"[" * 20_000 + b"\n",
    ],
)
async def test_nonsense_ends_its_own_connection_alone(tmp_path: Path, garbage: bytes) -> None:
    path = tmp_path / "app.db"
    async with both(path) as (_, work, _web):
        assert await work.result(await work.submit(Nap(name="a"))) == "a"
        async with await anyio.connect_unix(str(address_of(path))) as stream:
            await stream.send(garbage or b" ")
            await stream.send_eof()
            with pytest.raises(anyio.EndOfStream):
                await stream.receive()
        assert await work.result(await work.submit(Nap(name="b"))) == "b"


async def test_an_error_of_the_dispatcher_is_told_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    async with open_app(str(path)):
        await anyio.sleep(0.1)
        frames = await connect(address_of(path))
        try:
            await frames.send({"verb": "explain", "id": 7, "task": 99})
            answer = await frames.receive()
        finally:
            frames.close()
        assert (answer["id"], answer["error"]) == (7, "UnknownTaskError")
        assert "99" in answer["message"]


async def test_who_waits_for_an_end_is_told_of_it_at_once(tmp_path: Path) -> None:
    async with both(tmp_path / "app.db") as (app, work, _):
        task = await work.submit(Nap(name="a", seconds=1.23))
        began = app.seconds()
        await work.wait(task.id)
        assert app.seconds() - began < 1.25
        with pytest.raises(TimeoutError):
            await work.wait((await work.submit(Nap(name="b", seconds=9))).id, timeout=SECOND)


async def test_a_stream_goes_on_with_the_next_dispatcher_and_tells_of_the_gap(
    tmp_path: Path,
) -> None:
    path = tmp_path / "app.db"
    async with open_app(str(path)) as app:
        await app.scheduler.idle()
        async with client(path, app.clock) as web:
            work = web.domain(Work)
            async with work.events() as events:
                await work.submit(Nap(name="a"))
                heard = [type(await anext(events)).__name__ for _ in range(3)]
                assert heard == ["Enqueued", "Dispatched", "Completed"]
                app.scheduler.stop()
                await anyio.sleep(1)
                await work.submit(Nap(name="b"))
                again = Scheduler(path, domains=domains(app.diary), clock=app.clock)
                # the first one is left when its block ends, so the second needs its own turn
                async with again:
                    await anyio.sleep(5)
                    await again.domain(Work).submit(Nap(name="c"), delay=HOUR)
                    names = [type(await anext(events)).__name__]
                    while names[-1] != "Enqueued":
                        names.append(type(await anext(events)).__name__)
                assert names[0] == "Lagged"


HEADER = TaskHeader(
    id=TaskId(7),
    type="a::b",
    domain="a",
    key=None,
    label="l",
    tags={"k": "v"},
    group="g",
    priority=3,
    effective_priority=2,
    attempt=1,
)
ERROR = ErrorRecord(type="E", message="m", traceback="t", run=1, at=NOW)
VALUES: dict[str, object] = {
    "header": HEADER,
    "load": lambda: "payload",
    "due_at": NOW,
    "run": 4,
    "fraction": 0.25,
    "message": "half",
    "result": {"x": [1]},
    "duration": timedelta(seconds=1.5),
    "error": ERROR,
    "will_retry": True,
    "retry_at": NOW,
    "reason": "why",
    "cause": kinds.InterruptCause.CRASH,
    "grace": timedelta(seconds=5),
    "scope": PauseScope.GROUP,
    "name": "n",
    "until": NOW,
    "group": "g",
    "before": GroupPolicy(weight=2, rate=RateLimit(5, burst=9)),
    "after": GroupPolicy(max_concurrency=3),
    "domain": "a",
    "type": "a::b",
    "count": 5,
    "stack": "line",
}


@pytest.mark.parametrize("kind", get_args(Event), ids=lambda kind: getattr(kind, "__name__", ""))
def test_every_event_arrives_as_it_was(kind: Any) -> None:
    kind = getattr(kind, "__origin__", kind)
    given = {field.name: VALUES[field.name] for field in kind.__attrs_attrs__}
    event = kind(**given)
    fields = json.loads(json.dumps(event.to_dict()))
    arrived: Any = event_from_json(fields, "payload", given.get("result"))
    assert arrived == event
    if "load" in given:
        assert arrived.task == "payload"
        broken: Any = event_from_json(fields, PayloadError("no"), None)
        with pytest.raises(PayloadError):
            assert broken.task
