"""Under which names is something kept that has this mark, such as a tag?

Exactly under those that the index tells. Its memory is measured rather than guessed, because it counts
towards what the store may take: a tag on everything and a tag on one thing cost very differently.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable
from sys import getsizeof
from typing import Generic, TypeVar

M = TypeVar("M", bound=Hashable)

_MARK = 110  # bytes: a place in the table, as full as it usually is, and the mark
_SPARSE = 16 * getsizeof(b"")  # bytes of a set's table for one member, above which it is made anew


class Index(Generic[M]):
    """Mark → the names of what has it. `size` is in bytes."""

    __slots__ = ("_names", "size")

    def __init__(self) -> None:
        # Where it is only one, that is all there is: a set for it takes as much as a small answer's head.
        self._names: dict[M, bytes | set[bytes]] = {}
        self.size = 0

    def __len__(self) -> int:
        return len(self._names)

    def find(self, mark: M) -> Collection[bytes]:
        there = self._names.get(mark, ())
        return (there,) if isinstance(there, bytes) else there

    def change(self, name: bytes, before: Iterable[M], after: Iterable[M]) -> None:
        """What this name had, and what it has now."""
        old, new = set(before), set(after)
        for mark in old - new:
            self.remove(mark, name)
        for mark in new - old:
            self.add(mark, name)

    def add(self, mark: M, name: bytes) -> None:
        """One that has it not."""
        there = self._names.get(mark)
        if there is None:
            self._names[mark] = name
            self.size += _MARK
        elif isinstance(there, bytes):
            self._names[mark] = both = {there, name}
            self.size += getsizeof(both)
        else:
            self.size -= getsizeof(there)
            there.add(name)
            self.size += getsizeof(there)

    def remove(self, mark: M, name: bytes) -> None:
        """One that has it."""
        there = self._names[mark]
        if isinstance(there, bytes):
            del self._names[mark]
            self.size -= _MARK
            if not self._names:
                self._names = {}  # a table does not give back what it once needed
            return
        taken = getsizeof(there)
        there.discard(name)
        if len(there) == 1:
            self._names[mark] = there.pop()
            self.size -= taken
        elif taken > _SPARSE * len(there):
            self._names[mark] = fewer = set(there)  # neither does a set
            self.size += getsizeof(fewer) - taken
