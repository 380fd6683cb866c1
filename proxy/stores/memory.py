"""How are entries kept in this process, within a number of bytes?

What was used least recently goes first. Every operation but `clear` costs the same however much is kept:
a place's entries are found by an index, and room is made one shelf at a time. Bytes are counted with
what the interpreter itself needs for them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from proxy.core.caching.entry import Entry
from proxy.core.caching.key import Key

# Of one key's bookkeeping here: the shelf, its places in two tables, the key and its digests.
_SHELF_OVERHEAD = 700
_MOST_VARIANTS = 32  # a Vary on something unique to each request must not make one key a cache of its own


@dataclass(slots=True)
class _Shelf:
    """The variants of one key, newest first."""

    key: Key
    entries: tuple[Entry, ...]
    size: int


class MemoryStore:
    """A Store for one event loop.

    `max_bytes` bounds everything kept, `max_entry_bytes` one entry. `on_evict` is told of each entry
    that goes without being replaced: `size` (room was needed), `variants` (too many of one key),
    `invalidated` (its resource changed), `purged`.
    """

    __slots__ = ("_bytes", "_count", "_max_bytes", "_max_entry_bytes", "_on_evict", "_places", "_shelves")

    def __init__(
        self,
        *,
        max_bytes: int,
        max_entry_bytes: int,
        on_evict: Callable[[str], None] = lambda _reason: None,
    ) -> None:
        self._max_bytes = max_bytes
        self._max_entry_bytes = max_entry_bytes
        self._on_evict = on_evict
        self._shelves: OrderedDict[bytes, _Shelf] = OrderedDict()
        self._places: dict[bytes, set[bytes]] = {}
        self._bytes = 0
        self._count = 0

    def peek(self, key: Key) -> Sequence[Entry]:
        """As `load`, without waiting."""
        shelf = self._shelves.get(key.primary)
        if shelf is None:
            return ()
        self._shelves.move_to_end(key.primary)
        return shelf.entries

    async def load(self, key: Key) -> Sequence[Entry]:
        return self.peek(key)

    async def keep(self, key: Key, entry: Entry) -> bool:
        size = entry.size
        if size > self._max_entry_bytes or size + _overhead(key) > self._max_bytes:
            # What it would have replaced is older than what its caller was just told.
            self._remove_variant(key, entry)
            return False
        shelf = self._shelves.get(key.primary)
        others = () if shelf is None else tuple(e for e in shelf.entries if not _same_variant(e, entry))
        entries = (entry, *others)
        if len(entries) > _MOST_VARIANTS:
            entries = entries[:_MOST_VARIANTS]
            self._on_evict("variants")
        self._put(key, entries)
        while self._bytes > self._max_bytes:
            self._make_room(key)
        return True

    async def drop(self, key: Key) -> int:
        return self._remove(key.primary, "purged")

    async def drop_place(self, place: bytes) -> int:
        return sum(self._remove(primary, "invalidated") for primary in tuple(self._places.get(place, ())))

    async def drop_upstream(self, name: str) -> int:
        """Removes all of one upstream's entries; how many went. Looks at every key: for operators only."""
        mine = [primary for primary, shelf in self._shelves.items() if shelf.key.upstream == name]
        return sum(self._remove(primary, "purged") for primary in mine)

    async def clear(self) -> int:
        gone = self._count
        self._shelves.clear()
        self._places.clear()
        self._bytes = self._count = 0
        for _ in range(gone):
            self._on_evict("purged")
        return gone

    def usage(self) -> tuple[int, int]:
        return self._count, self._bytes

    def _put(self, key: Key, entries: tuple[Entry, ...]) -> None:
        """Makes these the variants of a key, newest first and most recently used."""
        self._take(key.primary)
        size = _overhead(key) + sum(entry.size for entry in entries)
        self._shelves[key.primary] = _Shelf(key, entries, size)
        self._places.setdefault(key.place, set()).add(key.primary)
        self._bytes += size
        self._count += len(entries)

    def _take(self, primary: bytes) -> _Shelf | None:
        shelf = self._shelves.pop(primary, None)
        if shelf is None:
            return None
        self._bytes -= shelf.size
        self._count -= len(shelf.entries)
        there = self._places[shelf.key.place]
        there.discard(primary)
        if not there:
            del self._places[shelf.key.place]
        return shelf

    def _make_room(self, newest: Key) -> None:
        primary = next(iter(self._shelves))
        if primary != newest.primary:
            self._remove(primary, "size")
            return
        # Only the new one's own key is left: its oldest variant goes.
        self._put(newest, self._shelves[primary].entries[:-1])
        self._on_evict("size")

    def _remove(self, primary: bytes, reason: str) -> int:
        shelf = self._take(primary)
        if shelf is None:
            return 0
        for _ in shelf.entries:
            self._on_evict(reason)
        return len(shelf.entries)

    def _remove_variant(self, key: Key, entry: Entry) -> None:
        shelf = self._shelves.get(key.primary)
        if shelf is None:
            return
        entries = tuple(e for e in shelf.entries if not _same_variant(e, entry))
        if not entries:
            self._remove(key.primary, "invalidated")
        elif len(entries) < len(shelf.entries):
            self._put(key, entries)
            self._on_evict("invalidated")


def _same_variant(one: Entry, other: Entry) -> bool:
    return one.vary == other.vary and one.selection == other.selection


def _overhead(key: Key) -> int:
    return _SHELF_OVERHEAD + len(key.target)
