"""Stores for the tests: each kind of backend, in a folder of the test's own."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator, Generator
from contextlib import closing
from pathlib import Path

import pytest

from taskmill.store.base import Store
from taskmill.store.sqlite import opening

from .conformance import BACKENDS, MADE, Backend, Place

_LASTING = [backend for backend in BACKENDS if backend.is_lasting]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
async def close_stores(anyio_backend: str) -> AsyncGenerator[None]:
    """Close what a failed test leaves open."""
    yield
    while MADE:
        await MADE.pop().close()


@pytest.fixture(params=BACKENDS, ids=lambda backend: backend.name)
def backend(request: pytest.FixtureRequest) -> Backend:
    chosen = request.param
    assert isinstance(chosen, Backend)
    return chosen


@pytest.fixture
async def store(backend: Backend, tmp_path: Path) -> AsyncGenerator[Store]:
    """An open store, new for this test."""
    async with Place(backend, tmp_path).opened() as store:
        yield store


@pytest.fixture(params=_LASTING, ids=lambda backend: backend.name)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Where stores can be opened one after the other on the same tasks."""
    chosen = request.param
    assert isinstance(chosen, Backend)
    return Place(chosen, tmp_path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a SQLite file of the test's own can be."""
    return tmp_path / "app.db"


@pytest.fixture
def db() -> Generator[sqlite3.Connection]:
    """An empty database of this version."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        opening.configure(db, durability="FULL")
        opening.migrate(db)
        yield db
