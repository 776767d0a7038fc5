"""Which worker process runs what: a pool that grows as it is needed."""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import sys
from collections.abc import Callable, Iterable
from datetime import timedelta
from multiprocessing import current_process
from typing import Any

import anyio
import anyio.to_thread

from taskmill.define.task import Handler
from taskmill.executors.base import Host, Lost, Outcome, Work
from taskmill.executors.process.guard import IS_IMPORTING, await_workers, lock_of
from taskmill.executors.process.references import Parts, check_main, parts_of
from taskmill.executors.process.worker import Worker
from taskmill.model.errors import ConfigurationError, InvalidState
from taskmill.model.limits import check_cap, check_length, check_text, check_whole
from taskmill.model.showing import shown

log = logging.getLogger("taskmill.executors")

_RETRY = 5
"""Seconds after which starting a process is tried again."""


class ProcessExecutor:
    """Calls plain functions in worker processes, ``workers`` at most; by default one for each core.

    A worker is started when it is needed: a fresh interpreter that imports the main module and the
    modules of the handlers. So task classes and handlers are at the top level of a module, and what
    starts the application is under ``if __name__ == "__main__":``. A stopped handler sees it in
    `Context.cancelled`; ``kill_after`` later its worker is killed, whatever it does. A worker that
    dies interrupts its own task alone, and all die with the scheduler's process.

    ``state`` is called once in each worker; what it returns, a list of objects, is found by
    `Context.state` before any other state, and stays: a model, a connection. Other state is copied
    from the scheduler once in each run. A worker is replaced after ``max_tasks`` runs, or when it
    holds more than ``max_memory`` bytes after one. ``fallback`` names the executor that takes its
    tasks where no process can be started.
    """

    def __init__(
        self,
        workers: int | None = None,
        *,
        state: Callable[[], Iterable[object]] | None = None,
        kill_after: timedelta = timedelta(seconds=1),
        max_tasks: int | None = None,
        max_memory: int | None = None,
        fallback: str | None = None,
    ) -> None:
        check_cap(workers, "the number of workers of a process executor")
        check_length(kill_after, "kill_after")
        check_cap(max_tasks, "max_tasks")
        if max_memory is not None:
            check_whole(max_memory, 1, 2**63 - 1, "max_memory")
        if fallback is not None:
            check_text(fallback, "the fallback of a process executor")
        self._workers = workers or _cores()
        self._state = None if state is None else _pickled(state)
        self._kill_after = kill_after
        self._max_tasks = max_tasks
        self._max_memory = max_memory
        self._fallback = fallback
        self._parts: dict[int, tuple[Handler[Any], Parts]] = {}
        """By the id of the handler: schedulers that are not open may have others of its name."""
        self._alive: set[Worker] = set()
        self._idle: list[Worker] = []
        self._host: Host | None = None

    def __repr__(self) -> str:
        return f"ProcessExecutor({self._workers})"

    @property
    def capacity(self) -> int:
        """How many workers there may be, each with one handler."""
        return self._workers

    @property
    def fallback(self) -> str | None:
        """Where its tasks run while no process can be started."""
        return self._fallback

    def pids(self) -> list[int]:
        """The process ids of its workers now."""
        return sorted(worker.pid for worker in self._alive if worker.pid is not None)

    def check(self, handler: Handler[Any]) -> None:
        """Refuse what is async def, and what another process would not find by its name."""
        if handler.is_async:
            raise ConfigurationError(
                f"the handler of {handler.task.task_type!r} is async def, which runs in the event "
                "loop: run it on 'inline', or make it a plain function"
            )
        self._parts[id(handler)] = handler, parts_of(handler)

    async def start(self, host: Host) -> None:
        """Wait until no worker of an earlier scheduler on the same file is left."""
        if getattr(current_process(), IS_IMPORTING, False):
            raise InvalidState("this process only imports the main module, to be a worker")
        if self._host is not None:
            raise InvalidState(
                "this process executor is in use; make one for each scheduler, and for each name"
            )
        lock = None if host.home is None else lock_of(host.home)
        if lock is not None and not await_workers(lock, wait=False):
            log.warning(
                "worker processes of an earlier scheduler still run a handler of %s; waiting for "
                "them to end",
                host.home,
            )
            await anyio.to_thread.run_sync(_await_workers, lock, abandon_on_cancel=True)
        self._lock = lock
        self._host = host

    async def run(self, work: Work) -> Outcome:
        """Run a handler in an idle worker, or in a new one."""
        try:
            worker = self._idle.pop() if self._idle else self._new()
        except (OSError, RuntimeError) as refusal:  # no descriptor is left, or no thread
            return self._refused(refusal)
        with work.hold():
            try:
                _, parts = self._parts[id(work.handler)]
                outcome = await worker.run(work, parts, self._kill_after)
            finally:
                if worker.ended.is_set() or not self._is_fit(worker):
                    worker.retire()
                else:
                    self._idle.append(worker)
        return outcome if worker.refusal is None else self._refused(worker.refusal)

    async def stop(self) -> None:
        """End all workers, and return when they are gone."""
        self._idle.clear()
        for worker in self._alive:
            worker.retire()
        while self._alive:
            await next(iter(self._alive)).ended.wait()
        self._host = None

    def _refused(self, refusal: Exception) -> Lost:
        """The system starts no process now: be down for a while."""
        reason = f"no process can be started: {refusal}"
        host = self._host
        if host is not None:
            host.down(reason)
            asyncio.get_running_loop().call_later(_RETRY, self._is_up, host)
        return Lost(reason, has_begun=False)

    def _is_up(self, host: Host) -> None:
        if self._host is host:
            host.up()

    def _new(self) -> Worker:
        worker = Worker(state=self._state, lock=self._lock, on_end=self._ended)
        self._alive.add(worker)
        return worker

    def _ended(self, worker: Worker) -> None:
        self._alive.discard(worker)
        if worker in self._idle:
            self._idle.remove(worker)
            worker.retire()

    def _is_fit(self, worker: Worker) -> bool:
        if not worker.is_free:
            return False
        if self._max_tasks is not None and worker.runs >= self._max_tasks:
            return False
        return self._max_memory is None or worker.memory <= self._max_memory


def _cores() -> int:
    """How many cores this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _await_workers(lock: Any) -> None:
    await_workers(lock, wait=True)


def _pickled(state: object) -> bytes:
    check_main(str(getattr(state, "__module__", None)), f"the state function {shown(state)}")
    try:
        if callable(state):
            return pickle.dumps(state)
    except Exception as error:
        raise ConfigurationError(
            f"the state function {shown(state)} cannot be found by its name, as worker processes "
            "have to; define it at the top level of a module"
        ) from error
    raise ConfigurationError(
        f"state takes a function that each worker calls for its own states, not {shown(state)}"
    )
