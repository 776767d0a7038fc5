"""What is said of a file that is in use: who dispatches from it, and what to do."""

from __future__ import annotations

from pathlib import Path

from taskmill.model.effects import Holder
from taskmill.model.errors import StoreError
from taskmill.store.sqlite import opening
from taskmill.store.sqlite.connection import Port


def describe_settling(path: Path) -> str:
    """Where a borrowed lock does not come free."""
    return (
        f"{path} is in use: a process that does not dispatch has been settling for long what was "
        "left in it; try again"
    )


async def describe_use(path: Path) -> str:
    """Where another process keeps the lock."""
    holder: Holder | None = None
    try:
        port = await Port.open(str(path), str(path))
        try:
            holder = await port.run(opening.holder_of)
        finally:
            await port.close()
    except StoreError:
        pass  # then the message says less
    who = (
        "another process dispatches from it"
        if holder is None
        else f"process {holder.pid} on {holder.host} dispatches from it since "
        f"{holder.since.isoformat(timespec='seconds')}"
    )
    return f"{path} is in use: {who}; stop that one first, or use another file"
