"""The database as a file: where it may be, who may read it, which process dispatches from it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from taskmill.model.errors import StoreError

NETWORK_FILESYSTEMS = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb",
        "smb2",
        "smb3",
        "smbfs",
        "9p",
        "afs",
        "ceph",
        "fuse.sshfs",
        "ncpfs",
    }
)


MAGIC = b"SQLite format 3\0"


def prepare(path: Path) -> None:
    """Create the file, its owner's alone, if it is not there; refuse a place that is no good."""
    if not path.parent.is_dir():
        raise StoreError(f"{path}: the directory {path.parent} does not exist; create it first")
    if path.exists() and not path.is_file():
        raise StoreError(f"{path} is no regular file; name a file for the database")
    filesystem = filesystem_of(path.parent)
    if filesystem in NETWORK_FILESYSTEMS:
        raise StoreError(
            f"{path} is on a network filesystem ({filesystem}), where SQLite's locks do not hold; "
            "use a local disk"
        )
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise StoreError(f"{path} cannot be opened for writing: {error.strerror}") from error
    with path.open("rb") as file:
        start = file.read(len(MAGIC))
    if start and start != MAGIC:
        raise StoreError(f"{path} is no SQLite database; name another file")


def filesystem_of(folder: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str | None:
    """The type of the filesystem that ``folder`` is on; None where the system does not say."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    folder = folder.resolve()
    best, kind = -1, None
    for line in lines:
        fields, _, rest = line.partition(" - ")
        mount = fields.split(" ")[4].replace("\\040", " ")
        if folder.is_relative_to(mount) and len(mount) >= best:
            best, kind = len(mount), rest.split(" ")[0]
    return kind


class FileLock:
    """An exclusive lock on a file of its own, held until released or until the process ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Take the lock; False if another holds it."""
        try:
            descriptor = os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as error:
            raise StoreError(f"{self.path} cannot be opened: {error.strerror}") from error
        try:
            _lock(descriptor)
        except OSError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Let go; the file stays, as removing it would let two processes lock two files."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
