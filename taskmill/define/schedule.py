"""A schedule that a domain declares."""

from __future__ import annotations

from typing import Any, Generic, final

import attrs
from typing_extensions import TypeVar

from taskmill.define.task import DomainKey, Task
from taskmill.model.errors import ConfigurationError
from taskmill.model.limits import check_text
from taskmill.model.schedules import Cron, Every, Recurrence
from taskmill.model.showing import shown

D = TypeVar("D", bound=DomainKey)


@final
@attrs.frozen
class Schedule(Generic[D]):
    """A task that recurs, for ``Domain(schedules=[...])``.

    ``Schedule("nightly", Scan(root="/"), Cron("0 2 * * *", tz="Europe/Berlin"))``

    The store knows it by its name: under the same rule it goes on after a restart where it was,
    under another one it begins anew. One that is not declared any more is paused.
    """

    name: str
    task: Task[D, Any]
    rule: Recurrence

    def __attrs_post_init__(self) -> None:
        check_text(self.name, "a schedule's name")
        check_recurrence(self.rule, f"schedule {self.name!r}")
        if not isinstance(self.task, Task):  # pyright: ignore[reportUnnecessaryIsInstance] # untyped callers
            raise ConfigurationError(
                f"schedule {self.name!r} is of a task, such as Scan(root='/'), "
                f"not {shown(self.task)}"
            )


def check_recurrence(rule: object, what: str) -> None:
    """Raise ConfigurationError for what does not say when a task recurs."""
    if not isinstance(rule, Every | Cron):
        raise ConfigurationError(
            f"{what} recurs by Every(timedelta(minutes=5)) or Cron('0 2 * * *'), not {shown(rule)}"
        )
