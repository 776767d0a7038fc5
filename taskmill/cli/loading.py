"""Which scheduler a command is about: the one that ``module:name`` names."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from taskmill.model.errors import ConfigurationError, TaskmillError
from taskmill.scheduler import Scheduler


def load_scheduler(reference: str) -> Scheduler:
    """Import the scheduler, or call the function that makes it.

    Modules in the working directory are found as well. ConfigurationError says what is wrong with
    the reference, or what the application's code raised.
    """
    module, _, name = reference.partition(":")
    if not module or not name:
        raise ConfigurationError(
            f"a scheduler is named as MODULE:NAME, such as 'app.main:scheduler', not {reference!r}"
        )
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    found = _imported(module)
    for step in name.split("."):
        try:
            found = getattr(found, step)
        except AttributeError:
            raise ConfigurationError(f"{module!r} has no {name!r}") from None
    if not isinstance(found, Scheduler) and callable(found):
        found = _called(found, reference)
    if isinstance(found, Scheduler):
        return found
    raise ConfigurationError(
        f"{reference!r} is {found!r:.100}, neither a Scheduler nor a function that makes one"
    )


def _imported(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise ConfigurationError(f"importing {module!r} failed: {error}") from error
        raise ConfigurationError(
            f"there is no module {error.name!r} here or among what is installed"
        ) from error
    except Exception as error:
        raise ConfigurationError(f"importing {module!r} failed: {error!r:.300}") from error


def _called(function: Any, reference: str) -> Any:
    try:
        return function()
    except TaskmillError:
        raise
    except Exception as error:
        raise ConfigurationError(f"{reference!r} raised {error!r:.300}") from error
