"""What taskmill raises for its callers: one tree, each also the closest builtin.

TaskmillError
├── ConfigurationError (ValueError)      a declaration or an option is wrong
├── UnknownDomainError (LookupError)     no such domain on this scheduler
├── MissingStateError (LookupError)      a handler asked for state nobody provided
├── UnknownTaskError (LookupError)       no task has this id
├── PayloadError (ValueError)            a stored payload or result does not fit its type
├── PayloadTooLarge (ValueError)         a payload or result is over its limit
├── InvalidTag (ValueError)              a tag is over its limits
├── InvalidDependency (ValueError)       a task cannot wait for that one
├── TaskPruned (LookupError)             the task was there, and its record has been deleted
├── InvalidState (RuntimeError)          the task or scheduler is not in a state that allows this
├── SchedulerFailed (RuntimeError)       the scheduler itself failed; its cause says why
├── StoreError (RuntimeError)            the database could not do it
│   └── StoreInUse                       another scheduler dispatches from this database
└── TaskFailed (RuntimeError)            `result` of a task that ended without one
    ├── TaskCancelled                    ... because it was cancelled
    └── TaskExpired                      ... because it could not start in time

Permanent, RetryAfter, Snooze and Cancel are raised *by* handlers, to say how a run ended; Stopped
is what `Context.check` raises in a handler that is to stop.
"""

from __future__ import annotations

from datetime import timedelta

from taskmill.model.showing import shown


class TaskmillError(Exception):
    """Base of everything taskmill raises for its callers."""


class ConfigurationError(TaskmillError, ValueError):
    """A declaration or an option is wrong; raised where it is written, not at first use."""


class MissingExtra(ConfigurationError, ImportError):
    """A module needs an optional library that is not installed; names the extra with it."""

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(f"{module} needs the extra \"{extra}\": pip install 'taskmill[{extra}]'")


class UnknownDomainError(TaskmillError, LookupError):
    """The scheduler has no such domain."""


class MissingStateError(TaskmillError, LookupError):
    """A handler asked for state that neither its domain nor the scheduler provides."""


class UnknownTaskError(TaskmillError, LookupError):
    """No task has this id, or it belongs to another domain than the handle that was asked."""


class PayloadError(TaskmillError, ValueError):
    """A payload or result cannot be stored, or what is stored does not fit its type any more."""

    gist: str | None = None
    """What is wrong without the value that is, where that can be told: the same for all alike."""


class PayloadTooLarge(TaskmillError, ValueError):
    """A payload or result is over 1 MiB as JSON."""


class InvalidTag(TaskmillError, ValueError):
    """A tag key is over 64 bytes, a value over 256 bytes, or a task has more than 32 tags."""


class InvalidDependency(TaskmillError, ValueError):
    """A task cannot wait for that one: it does not exist, or waits for this one itself."""


class TaskPruned(TaskmillError, LookupError):
    """There was a task with this id; it ended, and its record has been deleted since."""


class InvalidState(TaskmillError, RuntimeError):
    """The task, or the scheduler, is not in a state that allows this."""


class SchedulerFailed(TaskmillError, RuntimeError):
    """The scheduler met an error that it does not know and has stopped.

    Raised by ``async with``, whose block is cancelled; the error is its cause, and a bug in
    taskmill, or in a store or executor that was handed in. What was accepted is in the store.
    """


class StoreError(TaskmillError, RuntimeError):
    """The database could not do it: full, failing, read-only, busy for too long, or damaged."""


class StoreInUse(StoreError):
    """Another scheduler dispatches from this database; the message names its process."""


class TaskFailed(TaskmillError, RuntimeError):
    """The task whose result was asked for ended without one."""


class TaskCancelled(TaskFailed):
    """The task whose result was asked for was cancelled."""


class TaskExpired(TaskFailed):
    """The task whose result was asked for had not started when its time to live was over."""


class Permanent(Exception):
    """Raise in a handler: this can never succeed, so it is not retried and ends as FAILED."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class RetryAfter(Exception):
    """Raise in a handler: this attempt failed; the next one, if any is left, is after ``delay``."""

    def __init__(self, delay: timedelta, reason: str = "") -> None:
        if not isinstance(delay, timedelta):  # pyright: ignore[reportUnnecessaryIsInstance] # untyped callers
            raise ConfigurationError(
                f"RetryAfter takes a timedelta, such as timedelta(seconds=5), not {shown(delay)}"
            )
        super().__init__(reason or f"retry after {delay}")
        self.delay = delay


class Snooze(Exception):
    """Raise in a handler: run this again after ``delay``; no attempt is spent."""

    def __init__(self, delay: timedelta) -> None:
        if not isinstance(delay, timedelta):  # pyright: ignore[reportUnnecessaryIsInstance] # untyped callers
            raise ConfigurationError(
                f"Snooze takes a timedelta, such as timedelta(minutes=5), not {shown(delay)}"
            )
        super().__init__(f"snoozed for {delay}")
        self.delay = delay


class Cancel(Exception):
    """Raise in a handler: this task is not wanted any more; it ends as CANCELLED."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class Stopped(BaseException):
    """Raised by `Context.check` in a handler that was told to stop; let it pass.

    Not an Exception, so that ``except Exception`` in a handler does not swallow it.
    """
