"""Where do several workers keep in memory what one alone would keep in its own?

In a folder on a file system that is memory, which they share and which goes with them: `memory://` is one
cache, whatever the number of workers. Where there is none, or it has too little room (a container's has
64 MiB unless told otherwise), the folder for temporary files serves, whose files the system keeps in memory
as long as it can. What a process left behind that could not clean up is removed by the next.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_MEMORY = Path("/dev/shm")  # noqa: S108 - a private folder is made in it
_PREFIX = "leeward-"
_HELD = "held"
_NEW = 60.0  # seconds in which a folder may be without its lock, because it is being made


@contextmanager
def commons(size: int, *, memory: Path = _MEMORY, otherwise: Path | None = None) -> Iterator[Path]:
    """A folder that only this user may enter, for `size` bytes, removed at the end. Raises OSError."""
    places = [memory, otherwise or Path(tempfile.gettempdir())]
    for place in places:
        _clean(place)
    roomy = [place for place in places if _free(place) >= size]
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=(roomy or [max(places, key=_free)])[0]))
    lock = os.open(folder / _HELD, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        # All forked processes have it too: it is free when the last of them has ended.
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _free(place: Path) -> int:
    """Bytes; -1 where nothing can be written."""
    if not os.access(place, os.W_OK | os.X_OK):
        return -1
    return shutil.disk_usage(place).free


def _clean(place: Path) -> None:
    """Removes what is ours and nobody's any more."""
    with suppress(OSError):
        for folder in place.glob(f"{_PREFIX}*"):
            with suppress(OSError):
                status = folder.lstat()
                mine = status.st_uid == os.getuid() and not folder.is_symlink() and folder.is_dir()
                if mine and _abandoned(folder, status.st_mtime):
                    shutil.rmtree(folder)


def _abandoned(folder: Path, made: float) -> bool:
    try:
        lock = os.open(folder / _HELD, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return time.time() - made > _NEW
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True
