"""Whose turn is it to fetch, among the processes of one machine, and what have they changed?

A turn is a lock on one byte of a file (POSIX record lock): taken in microseconds, and let go by the system
itself when its process dies, however it dies. Beside it the file holds two tables that every process maps:
when somebody said that what is fetched cannot be shared, and when a resource was changed. Two names may
meet in one place of a table; then something is fetched once more than was needed, or not kept.
"""

from __future__ import annotations

import asyncio
import fcntl
import mmap
import os
import time
from collections import Counter
from hashlib import blake2b
from pathlib import Path

from proxy.core.ports import Turn

_SLOTS = 1 << 18  # of each table; 8 bytes each
_BYTES = _SLOTS * 8 * 2
_FIRST_PAUSE = 0.001  # seconds between two looks at a turn that another process has; grows
_LONGEST_PAUSE = 0.01
_GROWTH = 1.5


class LocalTurns:
    """Both core.ports.Turns and core.ports.Changes. Raises OSError where the file cannot be had."""

    __slots__ = ("_changed", "_file", "_freed", "_held", "_map")

    def __init__(self, path: Path) -> None:
        """Blocking, briefly. A process opens a path once: closing it lets all its turns go."""
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            _fill(self._file)
            self._map = mmap.mmap(self._file, _BYTES)
        except BaseException:
            os.close(self._file)
            raise
        tables = memoryview(self._map).cast("Q")
        self._freed, self._changed = tables[:_SLOTS], tables[_SLOTS:]
        self._held: Counter[int] = Counter()

    async def take(self, name: bytes, patience: float) -> Turn:
        number = _number(name)
        slot = number % _SLOTS
        freed = self._freed[slot]
        if self._lock(number):
            return Turn.MINE
        limit = time.monotonic() + patience
        pause = _FIRST_PAUSE
        while time.monotonic() < limit:
            await asyncio.sleep(pause)
            pause = min(pause * _GROWTH, _LONGEST_PAUSE)
            if self._freed[slot] != freed:
                return Turn.ALONE
            if self._lock(number):
                self._unlock(number)
                return Turn.OVER
        return Turn.ALONE

    def end(self, name: bytes, *, shared: bool) -> None:
        number = _number(name)
        if not shared:
            self._freed[number % _SLOTS] = time.monotonic_ns()
        self._unlock(number)

    def note(self, place: bytes) -> None:
        self._changed[_number(place) % _SLOTS] = time.monotonic_ns()

    def seen(self, place: bytes) -> int:
        return self._changed[_number(place) % _SLOTS]

    def close(self) -> None:
        self._freed.release()
        self._changed.release()
        self._map.close()
        os.close(self._file)

    def _lock(self, number: int) -> bool:
        """Within this process, who comes later has it as well: its flights know of each other."""
        if not self._held[number]:
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
            except OSError:
                del self._held[number]
                return False
        self._held[number] += 1
        return True

    def _unlock(self, number: int) -> None:
        self._held[number] -= 1
        if self._held[number] <= 0:
            del self._held[number]
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, number)


def _number(name: bytes) -> int:
    """Where its byte stands in the file: far behind its end, where nothing is ever written."""
    return (int.from_bytes(blake2b(name, digest_size=8).digest()) >> 2) + _BYTES


def _fill(file: int) -> None:
    """Makes room for the tables for certain: a page that a full disk refuses later would kill us."""
    missing = _BYTES - os.fstat(file).st_size
    if missing > 0:
        os.pwrite(file, bytes(missing), _BYTES - missing)
        if os.fstat(file).st_size < _BYTES:
            raise OSError(28, "no space for it")
