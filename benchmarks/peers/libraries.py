"""Which libraries there are, what is installed for each, and what each promises."""

from __future__ import annotations

import enum
from collections.abc import Sequence

import attrs

from benchmarks.peers.servers import Store


class Durability(enum.StrEnum):
    """What a submit that returned outlives."""

    POWER = "power cut"
    """Every commit is synced to the disk."""
    PROCESS = "killed process"
    """The system has it; the disk gets it later."""
    SERVER = "killed client"
    """The server has it in memory, and in a snapshot later."""


class Promise(enum.StrEnum):
    """How often a task runs that a crash meets."""

    AT_LEAST_ONCE = "at least once"
    AT_MOST_ONCE = "at most once"


@attrs.frozen(kw_only=True)
class Library:
    """A library on a store."""

    name: str
    adapter: str
    variant: str = ""
    environment: str
    """Its virtual environment, which its variants share."""
    packages: tuple[str, ...]
    """What pip installs there; none for taskmill, which is this checkout."""
    store: Store
    durability: Durability = Durability.POWER
    promise: Promise = Promise.AT_LEAST_ONCE
    most: int = 100_000
    """Tasks in a run at most: a run is to end within a quarter of a minute on two slow cores."""


TASKMILL = "taskmill"
REFERENCE = TASKMILL
"""The name of what the others are compared with."""

_APSCHEDULER = (
    "apscheduler[sqlalchemy]==4.0.0a6",
    "SQLAlchemy==2.1.9",
    "greenlet==3.5.6",
    "aiosqlite==0.22.1",
    "asyncpg==0.32.0",
    "anyio==4.16.0",
    "sniffio==1.3.1",  # imported by this pre-release, and no longer installed with anyio
)
_DBOS = ("dbos==3.4.0", "SQLAlchemy==2.1.9", "psycopg[binary]==3.3.9")
_SAQ = (
    "saq[hiredis,postgres,redis]==0.26.4",
    "redis==7.4.1",
    "hiredis==3.5.0",
    "psycopg[binary,pool]==3.3.9",
    "psycopg-pool==3.3.3",
)

LIBRARIES: Sequence[Library] = (
    Library(
        name=REFERENCE,
        adapter="taskmill",
        variant="power",
        environment=TASKMILL,
        packages=(),
        store=Store.SQLITE,
    ),
    Library(
        name="taskmill-process",
        adapter="taskmill",
        variant="process",
        environment=TASKMILL,
        packages=(),
        store=Store.SQLITE,
        durability=Durability.PROCESS,
    ),
    Library(
        name="huey",
        adapter="huey",
        environment="huey",
        packages=("huey==3.5.4",),
        store=Store.SQLITE,
        # a worker deletes the row when it takes the task
        promise=Promise.AT_MOST_ONCE,
        most=10_000,
    ),
    Library(
        name="pgqueuer",
        adapter="pgqueuer",
        environment="pgqueuer",
        packages=("pgqueuer[asyncpg]==1.6.0", "asyncpg==0.32.0"),
        store=Store.POSTGRES,
        most=10_000,
    ),
    Library(
        name="procrastinate",
        adapter="procrastinate",
        environment="procrastinate",
        packages=("procrastinate==3.10.0", "psycopg[binary,pool]==3.3.9"),
        store=Store.POSTGRES,
        most=3000,
    ),
    Library(
        name="saq-postgres",
        adapter="saq",
        variant="postgres",
        environment="saq",
        packages=_SAQ,
        store=Store.POSTGRES,
        most=4000,
    ),
    Library(
        name="saq-redis",
        adapter="saq",
        variant="redis",
        environment="saq",
        packages=_SAQ,
        store=Store.REDIS,
        durability=Durability.SERVER,
        most=10_000,
    ),
    Library(
        name="taskiq-redis",
        adapter="taskiq",
        environment="taskiq",
        packages=("taskiq==0.13.0", "taskiq-redis==1.2.4", "redis==8.1.0"),
        store=Store.REDIS,
        durability=Durability.SERVER,
        most=10_000,
    ),
    Library(
        name="apscheduler-sqlite",
        adapter="apscheduler",
        variant="sqlite",
        environment="apscheduler",
        packages=_APSCHEDULER,
        store=Store.SQLITE,
        most=1500,
    ),
    Library(
        name="apscheduler-postgres",
        adapter="apscheduler",
        variant="postgres",
        environment="apscheduler",
        packages=_APSCHEDULER,
        store=Store.POSTGRES,
        most=2500,
    ),
    Library(
        name="dbos-sqlite",
        adapter="dbos",
        variant="sqlite",
        environment="dbos",
        packages=_DBOS,
        store=Store.SQLITE,
        most=2000,
    ),
    Library(
        name="dbos-postgres",
        adapter="dbos",
        variant="postgres",
        environment="dbos",
        packages=_DBOS,
        store=Store.POSTGRES,
        most=2500,
    ),
    Library(
        name="dramatiq",
        adapter="dramatiq",
        environment="dramatiq",
        packages=("dramatiq[redis]==2.2.1", "redis==8.1.0"),
        store=Store.REDIS,
        durability=Durability.SERVER,
        most=10_000,
    ),
)


def named(name: str) -> list[Library]:
    """The library of that name, or those that begin with it and a hyphen."""
    exact = [library for library in LIBRARIES if library.name == name]
    family = [library for library in LIBRARIES if library.environment == name]
    return exact or family
