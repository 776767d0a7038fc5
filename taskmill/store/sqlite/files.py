"""The database as a file: where it may be, who may read it, which process dispatches from it."""

from __future__ import annotations

import os
import sys
import weakref
from errno import ENOSPC
from pathlib import Path
from time import sleep, time  # noqa: TID251 - the times of files go by the system's clock

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


def lock_of(path: Path) -> FileLock:
    """The lock that says who dispatches from a database, not taken yet."""
    return FileLock(path.with_name(f"{path.name}.lock"))


MAGIC = b"SQLite format 3\0"
"""How every SQLite database begins. To look for it is for a process that has none of it open:
see `_create`."""

SMALLEST = 512
"""The size in bytes of the smallest page of a SQLite database."""


def prepare(path: Path) -> None:
    """Create the file, its owner's alone, if it is not there; refuse a place that is no good."""
    try:
        has_folder, is_other = path.parent.is_dir(), path.exists() and not path.is_file()
        size = path.stat().st_size if path.is_file() else 0
    except OSError as error:
        raise StoreError(f"{path} cannot be looked up: {error.strerror}") from error
    if not has_folder:
        raise StoreError(f"{path}: the directory {path.parent} does not exist; create it first")
    if is_other:
        raise StoreError(f"{path} is no regular file; name a file for the database")
    if 0 < size < SMALLEST:  # of such a file SQLite would make a database
        raise StoreError(f"{path} is no SQLite database; name another file")
    filesystem = filesystem_of(path.parent)
    if filesystem in NETWORK_FILESYSTEMS:
        raise StoreError(
            f"{path} is on a network filesystem ({filesystem}), where SQLite's locks do not hold; "
            "use a local disk"
        )
    _create(path)


def _create(path: Path) -> None:
    """Make the file if it is not there; one that is there is left closed.

    To close any descriptor of a file drops all locks that its process has on it, also those of
    connections that it has open; then others bring in the log and remove it under their feet.
    """
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        if not os.access(path, os.R_OK | os.W_OK):
            raise StoreError(f"{path} cannot be opened for writing: it is read-only") from None
    except OSError as error:
        raise StoreError(f"{path} cannot be opened for writing: {error.strerror}") from error


def identity_of(path: Path) -> tuple[int, int] | None:
    """Which file is at ``path``, whatever its name; None where none is."""
    try:
        found = os.stat(path)  # noqa: PTH116 - a Path costs more than the call
    except OSError:
        return None
    return found.st_dev, found.st_ino


_COARSEST = 3.0
"""Seconds: the times of files come in steps of up to two."""


def stamp_of(path: Path) -> tuple[int, int] | None:
    """The time and the size of a file; None where the next write may leave both as they are.

    Windows notes the time of a write when it likes.
    """
    try:
        found = os.stat(path)  # noqa: PTH116 - as above
    except OSError:
        return None
    is_old = time() - found.st_mtime >= _COARSEST
    return (found.st_mtime_ns, found.st_size) if is_old and sys.platform != "win32" else None


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


_PAUSE = 0.01
_TRIES = 3000
_SURE = 10

_KEPT = b"kept"
"""What the lock's file says while a dispatcher holds it; otherwise it is held for a moment only."""


class FileLock:
    """An exclusive lock on a file of its own, held until released or until the process ends.

    A forked child lets go of it: the lock is its parent's alone.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Take the lock to keep it; False if another does. A borrowed one is waited for, 30 s."""
        kept = 0  # a borrower may have it from a killed dispatcher, and not have noted it yet
        for _ in range(_TRIES):
            if self._take():
                self._keep()
                return True
            kept = kept + 1 if self.is_kept() else 0
            if kept > _SURE:
                return False
            sleep(_PAUSE)
        return False

    def borrow(self) -> bool:
        """Take the lock for a moment: whoever wants to keep it waits for that."""
        if not self._take():
            return False
        self._note(b"")
        return True

    def is_free(self) -> bool:
        """Whether nobody has taken the lock to keep it."""
        if self.borrow():
            self.release()
            return True
        return not self.is_kept()

    def is_kept(self) -> bool:
        """Whether whoever holds the lock, if anybody does, wants to keep it."""
        try:
            return self.path.read_bytes() == _KEPT
        except OSError:
            return True

    def _keep(self) -> None:
        try:
            self._note(_KEPT)
        except OSError as error:
            self.release()
            reason = "the disk is full" if error.errno == ENOSPC else error.strerror
            raise StoreError(f"{self.path} cannot be written: {reason}") from error

    def _note(self, note: bytes) -> None:
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            os.write(self._descriptor, note)

    def _take(self) -> bool:
        _held.add(self)
        try:
            self._descriptor = os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as error:
            raise StoreError(f"{self.path} cannot be opened: {error.strerror}") from error
        try:
            _lock(self._descriptor)
        except OSError:
            self.forget()
            return False
        return True

    def release(self) -> None:
        """Let go; the file stays, as removing it would let two processes lock two files."""
        if self._descriptor is not None:
            self._note(b"")
            _unlock(self._descriptor)
            self.forget()

    def forget(self) -> None:
        """Close this process's descriptor and leave the lock to others that share it."""
        descriptor, self._descriptor = self._descriptor, None
        _held.discard(self)
        if descriptor is not None:
            os.close(descriptor)


_held: weakref.WeakSet[FileLock] = weakref.WeakSet()
"""The locks of this process."""


if sys.platform == "win32":
    import msvcrt

    _PLACE = 1 << 30
    """Which byte is locked: one behind the note, for nobody else can read what is locked."""

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, _PLACE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, _PLACE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(descriptor: int) -> None:
        """Without this a forked child that has the descriptor too would keep the lock."""
        fcntl.flock(descriptor, fcntl.LOCK_UN)

    def _leave_to_parent() -> None:
        """A forked child has the same locks, by descriptors of its own."""
        for lock in list(_held):
            lock.forget()

    os.register_at_fork(after_in_child=_leave_to_parent)
