"""Is what a folder holds to be trusted, and who else has it open?

The law: a file is used further if every process that had it open lives in, or died within, this run of the
machine, because what a process wrote is not lost with it; or if the last one to leave wrote all to the disk
and said so. After a power cut, or where nobody knows, the file is emptied before anything is read from it.

`lock` is held by all who have the folder open, and by one alone while it looks at the rest. `state` says by
which run of the machine it is open, or that it was left clean. `salt` is 32 random bytes that only the
owner may read. All names but this have the version of what they hold: what one version knows of its own
files says nothing of another's.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
import time
from contextlib import suppress
from pathlib import Path
from threading import Lock

import lmdb

from proxy.core.value import dataclass
from proxy.stores import codec
from proxy.stores.marks import Marks
from proxy.stores.volume import Volume

VERSION = 1  # of volume, shelves and marks; the codec's own counts beside it
_OWN = f"{VERSION}.{codec.VERSION}"
_DATA, _MARKS, _LOCK, _STATE = f"cache-{_OWN}.mdb", f"marks-{_OWN}", f"lock-{_OWN}", f"state-{_OWN}"
_SALT_BYTES = 32
_LEAST_MAP = 1 << 30  # bytes of addresses, not of memory or disk
_READERS = 512
_PATIENCE = 2.0  # seconds for another process to finish looking
_UNSOUND = (lmdb.InvalidError, lmdb.VersionMismatchError, lmdb.CorruptedError, lmdb.PageNotFoundError)


@dataclass(slots=True)
class Folder:
    """An open folder. The same one for all who open it in this process."""

    path: Path
    volume: Volume
    salt: bytes
    lock: int
    environment: lmdb.Environment
    holders: int = 1

    def distrust(self) -> None:
        """What it holds is damaged: who opens it next, alone, empties it."""
        with suppress(OSError):
            _write(self.path / _STATE, "damaged")

    def leave(self) -> None:
        """Lets go of it; the last one out in all processes writes everything to the disk."""
        with _opening:
            self.holders -= 1
            if self.holders:
                return
            _open.pop(self.path, None)
            alone = _try(self.lock, fcntl.LOCK_EX)
            with suppress(lmdb.Error):
                if alone:
                    self.environment.sync(True)  # noqa: FBT003 - its only parameter
            self.environment.close()
            self.volume.marks.close()
            with suppress(OSError):
                if alone and (self.path / _STATE).read_text() == _state():
                    _write(self.path / _STATE, "clean")
            os.close(self.lock)


_open: dict[Path, Folder] = {}
_opening = Lock()


def enter(path: Path, *, room: int) -> Folder:
    """Opens it, made where it is missing. Blocking. Raises OSError and lmdb.Error."""
    with _opening:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = path.resolve()
        known = _open.get(path)
        if known is not None:
            known.holders += 1
            known.volume.room = room
            return known
        lock = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            folder = _enter(path, lock, room)
        except BaseException:
            os.close(lock)
            raise
        _open[path] = folder
        return folder


def _enter(path: Path, lock: int, room: int) -> Folder:
    alone = _let_in(path, lock)
    first = _claim(path, alone=alone)
    marks = Marks(path / _MARKS)
    if first:
        marks.begin()
    try:
        try:
            environment = _environment(path / _DATA, room)
        except _UNSOUND:
            if not alone:
                raise
            _empty(path)
            marks.changed()
            environment = _environment(path / _DATA, room)
        volume = Volume(environment, marks, room=room)
        salt = _salt(path / "salt")
    except BaseException:
        marks.close()
        raise
    fcntl.flock(lock, fcntl.LOCK_SH)
    return Folder(path, volume, salt, lock, environment)


def _let_in(path: Path, lock: int) -> bool:
    """Waits for whoever is coming or leaving; whether nobody else is there. Raises TimeoutError."""
    alone = _try(lock, fcntl.LOCK_EX)
    limit = time.monotonic() + _PATIENCE
    while not alone and not _try(lock, fcntl.LOCK_SH):
        if time.monotonic() > limit:
            raise TimeoutError(f"another process does not let go of {path}")
        time.sleep(0.01)
    return alone


def _claim(path: Path, *, alone: bool) -> bool:
    """Notes that somebody is at work here; whether what the marks say belongs to the time before."""
    state = _read(path / _STATE)
    if not alone:
        if state == "clean":
            _write(path / _STATE, _state())  # who wrote that was leaving just now
        return False
    if state != "clean" and (state != _state() or not codec.boot()):
        _empty(path)
    if state == _state():
        return False
    (path / _STATE).touch(mode=0o600)
    _write(path / _STATE, _state())
    return True


def _environment(path: Path, room: int) -> lmdb.Environment:
    size = max(_LEAST_MAP, 1 << (4 * room).bit_length())
    # Not synced: what a power cut leaves is not used. See above.
    return lmdb.open(
        str(path),
        subdir=False,
        map_size=size,
        max_dbs=8,
        max_readers=_READERS,
        mode=0o600,
        sync=False,
        metasync=False,
    )


def _empty(path: Path) -> None:
    for name in (_DATA, f"{_DATA}-lock"):
        (path / name).unlink(missing_ok=True)


def _state() -> str:
    return f"open {codec.boot()}"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, ValueError):
        return ""


def _write(path: Path, text: str) -> None:
    """In place and to the disk; cut short it means nothing, and then nothing is trusted."""
    file = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.write(file, text.encode("ascii"))
        os.fsync(file)
    finally:
        os.close(file)


def _salt(path: Path) -> bytes:
    """Of whoever came first."""
    with suppress(FileNotFoundError):
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            found = os.read(file, _SALT_BYTES + 1)
            private = not stat.S_IMODE(os.fstat(file).st_mode) & stat.S_IRWXO
        finally:
            os.close(file)
        if len(found) == _SALT_BYTES and private:
            return found
    # None yet; or cut short, or anybody could read it, and then what was named by it is not found again.
    made, salt = path.with_name(f"salt.{secrets.token_hex(8)}"), secrets.token_bytes(_SALT_BYTES)
    file = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(file, salt)
        os.fsync(file)
    finally:
        os.close(file)
    made.replace(path)
    return salt


def _try(lock: int, how: int) -> bool:
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
