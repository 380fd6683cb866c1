"""What do the processes that share a store tell each other about it, without a look into it?

A small file that all of them map: to read from it is to read memory, and what one writes, all others see at
once. Names are many and slots few: two names may meet in one, and then something is read again, or not
kept, that could have been.

- A key's mark is another one after each change of what is kept under it; copies hold as long as it stays.
- A place's drop is when something was last dropped there: nothing that was asked for earlier is kept.
- A place's floor is written into what is kept there. Where a drop cannot be carried out, the floor is changed
  instead, and what has another one counts as gone. It needs neither locks nor room.

What has no place of its own, a purge, concerns all of them. Marks and floors are random: who writes at the
same time as another still leaves something new.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from random import SystemRandom

SLOTS = 1 << 14
_TABLES = 3
_ALL = 0  # the slot that concerns every name; no name has it for its own
_BYTES = SLOTS * 8 * _TABLES
_NANO = 1_000_000_000


class Marks:
    """The mapped file. Times are monotonic seconds, the same for all processes of one run of the machine."""

    __slots__ = ("_drops", "_floors", "_map", "_marks", "_random")

    def __init__(self, path: Path) -> None:
        """Blocking, briefly. Raises OSError."""
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            missing = _BYTES - os.fstat(file).st_size
            if missing > 0:
                # All its room for certain: a page that a full disk refuses later would kill us.
                os.pwrite(file, bytes(missing), _BYTES - missing)
            self._map = mmap.mmap(file, _BYTES)
        finally:
            os.close(file)
        tables = memoryview(self._map).cast("Q")
        self._marks = tables[:SLOTS]
        self._drops = tables[SLOTS : 2 * SLOTS]
        self._floors = tables[2 * SLOTS :]
        self._random = SystemRandom()

    def close(self) -> None:
        for table in (self._marks, self._drops, self._floors):
            table.release()
        self._map.close()

    def mark(self, primary: bytes) -> int:
        """Equal as long as nothing was changed under this key."""
        return self._marks[_slot(primary)] ^ self._marks[_ALL]

    def changed(self, primary: bytes | None = None) -> None:
        """What is kept under a key, or under any, is another from now on."""
        self._marks[_ALL if primary is None else _slot(primary)] = self._random.getrandbits(63)

    def dropped(self, place: bytes) -> float:
        """When something that could concern this place was last dropped."""
        return max(self._drops[_slot(place)], self._drops[_ALL]) / _NANO

    def drop(self, place: bytes | None, now: float) -> None:
        """Something is about to be dropped at a place, or anywhere."""
        slot = _ALL if place is None else _slot(place)
        self._drops[slot] = max(self._drops[slot], int(now * _NANO))

    def begin(self) -> None:
        """A new run of the machine, whose monotonic clock begins anew."""
        self._drops[:] = memoryview(bytes(SLOTS * 8)).cast("Q")

    def floor(self, place: bytes) -> int:
        return self._floors[_slot(place)] ^ self._floors[_ALL]

    def give_up(self, place: bytes | None) -> None:
        """All that is kept at a place, or anywhere, counts as gone."""
        self._floors[_ALL if place is None else _slot(place)] = self._random.getrandbits(63)
        self.changed()


def _slot(name: bytes) -> int:
    """Of a digest; never the one for all."""
    return int.from_bytes(name[:8]) % (SLOTS - 1) + 1
