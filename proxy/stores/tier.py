"""How does a hot answer cost no I/O, when what is kept is outside this process?

The law: a copy is served only while the store behind it vouches for it. `mark` is read before a copy is made
and compared before each use; whoever changes or drops what is kept, in whatever process, changes the mark.
A copy is the entry itself, so its age is that of what it is a copy of.

What a store has behind the tier is a `Backing`. Two things more belong to one:

- Its salt. Names of what is kept are keyed digests, and the key has to be the same for all who share the
  store, and after a restart. It is 32 random bytes, made by who comes first and kept in the store: on disk in
  a file beside the data that only its owner may read, in Redis under one name by SET NX. Who can read it
  can read the answers as well. It is never derived from a credential, which could then be guessed at.
- Its failures. They are misses; none is raised by anything but a bug.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Protocol

from proxy.core.caching.entry import Entry
from proxy.core.caching.key import Key
from proxy.core.caching.purge import Purge
from proxy.core.ports import Kept, Store
from proxy.stores.eviction import Queues

_OVERHEAD = 800  # bytes: the seat, its place in the table, the copy
_LARGEST = 8  # no key takes more than one part of so many


class Backing(Store, Protocol):
    """A store outside this process, as the tier needs it."""

    @property
    def salt(self) -> bytes | None:
        """What names are digested with; None while it could not be had yet."""

    @property
    def trouble(self) -> str | None:
        """What is wrong with it now, in words without secrets; None while it works."""

    async def open(self) -> None:
        """Makes it ready, and gives up soon where that fails: it goes on trying by itself."""

    async def close(self) -> None:
        """Lets go of everything. What is kept stays."""

    def mark(self, key: Key) -> object | None:
        """Equal as long as what is kept under a key surely is the same; None where nobody can say."""

    def used(self, key: Key) -> None:
        """A copy answered for it: a use, for the listing and for who goes first."""


class _Copy:
    __slots__ = ("entries", "mark", "seat")

    def __init__(self, entries: Sequence[Entry], mark: object, seat: int) -> None:
        self.entries = entries
        self.mark = mark
        self.seat = seat


class Tiered:
    """A Store: `behind`, with copies of at most so many bytes of what is asked for in front."""

    __slots__ = ("_copies", "_queues", "_room", "behind")

    def __init__(self, behind: Backing, *, max_bytes: int) -> None:
        self.behind = behind
        self._queues = Queues(max_bytes)
        self._room = max_bytes - self._queues.size
        self._copies: dict[bytes, _Copy] = {}

    def peek(self, key: Key) -> Sequence[Entry] | None:
        """What a copy answers; None where the store has to be asked."""
        copy = self._copies.get(key.primary)
        if copy is None:
            return None
        if copy.mark != self.behind.mark(key):
            self._drop(key.primary)
            return None
        self._queues.uses[copy.seat] += 1
        self.behind.used(key)
        return copy.entries

    async def load(self, key: Key) -> Sequence[Entry]:
        found = self.peek(key)
        if found is not None:
            return found
        mark = self.behind.mark(key)
        entries = await self.behind.load(key)
        if entries and mark is not None:
            self._copy(key, entries, mark)
        return entries

    async def keep(self, key: Key, entry: Entry, *, asked: float = inf) -> bool:
        try:
            return await self.behind.keep(key, entry, asked=asked)
        finally:
            self._drop(key.primary)

    async def drop(self, key: Key) -> int:
        try:
            return await self.behind.drop(key)
        finally:
            self._drop(key.primary)

    async def drop_place(self, place: bytes) -> int:
        return await self.behind.drop_place(place)

    async def purge(self, what: Purge) -> int:
        return await self.behind.purge(what)

    async def kept(self, what: Purge, limit: int) -> Sequence[Kept]:
        return await self.behind.kept(what, limit)

    def usage(self) -> tuple[int, int]:
        """Of the store behind: each copy is of something in it."""
        return self.behind.usage()

    def copies(self) -> tuple[int, int]:
        """(keys, bytes) of which there are copies here."""
        return len(self._copies), self._queues.weight

    def _copy(self, key: Key, entries: Sequence[Entry], mark: object) -> None:
        self._drop(key.primary)
        weight = _OVERHEAD + sum(entry.size for entry in entries)
        if weight > self._room // _LARGEST:
            return
        seat = self._queues.enter(key.primary, weight)
        self._copies[key.primary] = _Copy(entries, mark, seat)
        while self._queues.weight > self._room:
            victim = self._queues.victim(seat)
            if victim is None:
                break
            self._drop(self._queues.names[victim])

    def _drop(self, primary: bytes) -> None:
        copy = self._copies.pop(primary, None)
        if copy is not None:
            self._queues.leave(copy.seat)
