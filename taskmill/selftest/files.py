"""Whether a file has one scheduler at a time, and what becomes of one that is no database."""

from __future__ import annotations

from pathlib import Path

from taskmill.model.errors import StoreError, StoreInUse
from taskmill.model.wording import plural
from taskmill.scheduler import Scheduler
from taskmill.selftest.jobs import no_steps
from taskmill.selftest.place import Place
from taskmill.selftest.processes import started
from taskmill.selftest.values import Broken, Shown
from taskmill.store.sqlite.files import MAGIC

FOREIGN = {
    "note.txt": b"Not a database.\n",
    "letter.txt": b"Dear reader, this is no database, however long it gets.\n" * 200,
    "torn.db": MAGIC + b"and then something else altogether. " * 200,
}
"""Files that somebody might name by mistake: a short one, a long one, one that begins well."""


async def second_is_refused(place: Place) -> Shown:
    """Open a file that another process dispatches from; then again, when that one is gone."""
    path = place.folder / "held.db"
    async with started(place.folder, "hold", path) as holder:
        await holder.line()
        try:
            await _open(path)
        except StoreInUse as refusal:
            if f"process {holder.pid} " not in str(refusal):
                raise Broken(f"the refusal names another holder: {refusal}") from refusal
        else:
            raise Broken(
                "two processes dispatched from one file: its locks do not hold on this filesystem; "
                "use a local disk"
            )
        await holder.kill()
    try:
        await _open(path)
    except StoreInUse as refusal:
        raise Broken(f"the holder is gone, and its file still held: {refusal}") from refusal
    return Shown(
        figure=f"the refusal named process {holder.pid}; once that was killed the file was free"
    )


async def foreign_is_left_alone(place: Place) -> Shown:
    """Open files that are no databases, and compare each with what it was."""
    folder = place.folder / "foreign"
    folder.mkdir()
    for name, content in FOREIGN.items():
        (folder / name).write_bytes(content)
    for name, content in FOREIGN.items():
        path = folder / name
        try:
            await _open(path)
        except StoreError:
            pass
        else:
            raise Broken(f"a file of {plural(len(content), 'byte')} was taken for a database")
        if path.read_bytes() != content:
            raise Broken(f"a file of {plural(len(content), 'byte')} was refused, and changed")
    beside = {path.name for path in folder.iterdir()} - FOREIGN.keys()
    if logs := sorted(name for name in beside if not name.endswith(".lock")):
        raise Broken(f"files were left beside what was refused: {', '.join(logs)}")
    return Shown(figure=f"{plural(len(FOREIGN), 'file')} refused, each the same byte for byte")


async def _open(path: Path) -> None:
    async with Scheduler(path, domains=[no_steps()]):
        pass
