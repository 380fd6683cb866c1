"""How are entries kept in this process, within a number of bytes?

Every operation but a purge and a listing costs the same however much is kept: places and tags have an
index, `eviction` says what goes when room is needed, and a use is a number counted up. What looks at every
key lets others have a turn. Bytes are counted with what the interpreter itself needs for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from math import inf

from proxy.core.caching.entry import Entry
from proxy.core.caching.key import Key
from proxy.core.caching.purge import Purge
from proxy.core.ports import Kept
from proxy.core.value import dataclass
from proxy.stores.eviction import Queues, Seat
from proxy.stores.tags import Tags

# Of one key's bookkeeping here: the seat, its places in two tables, the key and its digests.
_SHELF_OVERHEAD = 800
_MOST_VARIANTS = 32  # a Vary on something unique to each request must not make one key a cache of its own
_SLICE = 1000  # keys that are looked at before others have a turn


@dataclass(frozen=True, slots=True)
class _Shelf:
    """The variants of one key, newest first."""

    key: Key
    entries: tuple[Entry, ...]


class MemoryStore:
    """A Store for one event loop.

    `max_bytes` bounds everything kept, `max_entry_bytes` one entry. `on_evict` is told of each entry
    that goes without being replaced: `size` (room was needed), `variants` (too many of one key),
    `invalidated` (its resource changed), `purged`.
    """

    __slots__ = ("_count", "_max_entry_bytes", "_on_evict", "_places", "_queues", "_room", "_seats", "_tags")

    def __init__(
        self,
        *,
        max_bytes: int,
        max_entry_bytes: int,
        on_evict: Callable[[str], None] = lambda _reason: None,
    ) -> None:
        self._max_entry_bytes = max_entry_bytes
        self._on_evict = on_evict
        self._seats: dict[bytes, Seat[_Shelf]] = {}
        self._queues: Queues[_Shelf] = Queues(max_bytes)
        self._room = max_bytes - self._queues.size
        self._places: dict[bytes, set[bytes]] = {}
        self._tags = Tags()
        self._count = 0

    def peek(self, key: Key) -> Sequence[Entry]:
        """As `load`, without waiting."""
        seat = self._seats.get(key.primary)
        if seat is None:
            return ()
        seat.uses += 1
        return seat.value.entries

    async def load(self, key: Key) -> Sequence[Entry]:
        return self.peek(key)

    async def keep(self, key: Key, entry: Entry, *, asked: float = inf) -> bool:
        del asked  # one process knows by itself what is on its way
        size = entry.size
        if size > self._max_entry_bytes or size + _overhead(key) > self._room:
            # What it would have replaced is older than what its caller was just told.
            self._remove_variant(key, entry)
            return False
        seat = self._seats.get(key.primary)
        others = () if seat is None else tuple(e for e in seat.value.entries if not entry.replaces(e))
        entries = (entry, *others)
        if len(entries) > _MOST_VARIANTS:
            entries = entries[:_MOST_VARIANTS]
            self._on_evict("variants")
        seat = self._put(key, entries)
        while self._bytes > self._room:
            self._make_room(seat)
        return bool(seat.value.entries)

    async def drop(self, key: Key) -> int:
        return self._remove(key.primary, "purged")

    async def drop_place(self, place: bytes) -> int:
        return sum(self._remove(primary, "invalidated") for primary in tuple(self._places.get(place, ())))

    async def purge(self, what: Purge) -> int:
        names: Iterable[bytes] = self._seats if what.tag is None else self._tags.find(what.tag)
        gone = 0
        for number, name in enumerate(tuple(names), 1):
            seat = self._seats.get(name)
            if seat is not None and what.reaches(seat.value.key.upstream, seat.value.key.target):
                gone += self._shorten(
                    seat, tuple(e for e in seat.value.entries if not what.means(e)), "purged"
                )
            if number % _SLICE == 0:
                await asyncio.sleep(0)
        return gone

    async def kept(self, what: Purge, limit: int) -> Sequence[Kept]:
        found: list[Kept] = []
        for number, seat in enumerate(tuple(reversed(self._seats.values())), 1):
            shelf = seat.value
            if what.reaches(shelf.key.upstream, shelf.key.target):
                meant = (entry for entry in shelf.entries if what.means(entry))
                found += (
                    Kept(key=shelf.key, entry=entry, uses=seat.uses, size=entry.size) for entry in meant
                )
            if len(found) >= limit:
                break
            if number % _SLICE == 0:
                await asyncio.sleep(0)
        return found[:limit]

    def usage(self) -> tuple[int, int]:
        return self._count, self._bytes

    @property
    def _bytes(self) -> int:
        return self._queues.weight + self._tags.size

    def _put(self, key: Key, entries: tuple[Entry, ...]) -> Seat[_Shelf]:
        """Makes these the variants of a key, newest first."""
        size = _overhead(key) + sum(entry.size for entry in entries)
        seat = self._seats.get(key.primary)
        if seat is None:
            seat = self._seats[key.primary] = Seat(key.primary, _Shelf(key, ()), size)
            self._queues.enter(seat)
            self._places.setdefault(key.place, set()).add(key.primary)
        else:
            self._queues.weigh(seat, size)
        self._change(seat, _Shelf(key, entries))
        return seat

    def _change(self, seat: Seat[_Shelf], to: _Shelf) -> None:
        before, after = _tags(seat.value.entries), _tags(to.entries)
        if before or after:
            self._tags.change(seat.name, before, after)
        self._count += len(to.entries) - len(seat.value.entries)
        seat.value = to

    def _make_room(self, newest: Seat[_Shelf]) -> None:
        victim = self._queues.victim(newest)
        # Where only the new one's own key is left, its oldest variant goes.
        self._shorten(victim or newest, newest.value.entries[:-1] if victim is None else (), "size")

    def _shorten(self, seat: Seat[_Shelf], left: tuple[Entry, ...], reason: str) -> int:
        """Leaves only these variants, which are some of those there are; how many went."""
        gone = len(seat.value.entries) - len(left)
        key = seat.value.key
        if gone and left:
            self._put(key, left)
        elif gone:
            self._change(seat, _Shelf(key, ()))
            self._queues.leave(seat)
            del self._seats[key.primary]
            there = self._places[key.place]
            there.discard(key.primary)
            if not there:
                del self._places[key.place]
        for _ in range(gone):
            self._on_evict(reason)
        return gone

    def _remove(self, primary: bytes, reason: str) -> int:
        seat = self._seats.get(primary)
        return 0 if seat is None else self._shorten(seat, (), reason)

    def _remove_variant(self, key: Key, entry: Entry) -> None:
        seat = self._seats.get(key.primary)
        if seat is not None:
            left = tuple(e for e in seat.value.entries if not entry.replaces(e))
            self._shorten(seat, left, "invalidated")


def _tags(entries: tuple[Entry, ...]) -> tuple[str, ...]:
    if len(entries) == 1:
        return entries[0].tags
    return tuple(tag for entry in entries for tag in entry.tags)


def _overhead(key: Key) -> int:
    return _SHELF_OVERHEAD + len(key.target)
