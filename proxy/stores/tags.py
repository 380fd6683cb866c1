"""Under which keys is something with this tag kept?

Exactly under those that the index names. Its memory is measured rather than guessed, because it counts
towards what the store may take: a tag on everything and a tag on one thing cost very differently.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from sys import getsizeof

_TAG = 110  # bytes: a place in the table, as full as it usually is
_SPARSE = 16 * getsizeof(b"")  # bytes of a set's table for one member, above which it is made anew


class Tags:
    """Tag → the names of what carries it. `size` is in bytes."""

    __slots__ = ("_names", "size")

    def __init__(self) -> None:
        self._names: dict[str, set[bytes]] = {}
        self.size = 0

    def __len__(self) -> int:
        return len(self._names)

    def find(self, tag: str) -> Collection[bytes]:
        return self._names.get(tag, ())

    def change(self, name: bytes, before: Iterable[str], after: Iterable[str]) -> None:
        """What this name carried, and what it carries now."""
        old, new = set(before), set(after)
        for tag in old - new:
            self._remove(tag, name)
        for tag in new - old:
            self._add(tag, name)

    def _add(self, tag: str, name: bytes) -> None:
        there = self._names.get(tag)
        if there is None:
            there = self._names[tag] = set()
            self.size += _TAG + getsizeof(there)
        self.size -= getsizeof(there)
        there.add(name)
        self.size += getsizeof(there)

    def _remove(self, tag: str, name: bytes) -> None:
        there = self._names[tag]
        taken = getsizeof(there)
        there.discard(name)
        if not there:
            del self._names[tag]
            self.size -= _TAG + taken
        elif taken > _SPARSE * len(there):
            # A set does not give back what it once needed.
            there = self._names[tag] = set(there)
            self.size += getsizeof(there) - taken
        if not self._names:
            self._names = {}  # neither does a table
