"""How are entries kept in this process, within a number of bytes?

What is kept stands packed, as bytes (`packed`), but for what is large, where that saves nothing. What is
asked for is opened, and stays open while it goes on being asked for: the same entries are told then each
time, as long as nothing of them has changed. For what is open an eighth of the bytes is set apart, so that a
look-up never displaces anything.

Every operation but a purge and a listing costs the same however much is kept: tags have an index, `eviction`
says what goes when room is needed, and a use is a number counted up. What looks at every key lets others have
a turn. Bytes are counted with what the interpreter itself needs for them.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import inf
from sys import getsizeof

from proxy.core.caching.entry import Entry
from proxy.core.caching.key import Key
from proxy.core.caching.purge import Purge
from proxy.core.ports import Kept
from proxy.stores import packed
from proxy.stores.eviction import Queues
from proxy.stores.index import Index

# Of one key's bookkeeping: its name and its place in the table, and what the allocator rounds up to.
_NAME_OVERHEAD = 160
_OPEN_OVERHEAD = 400
_MOST_PACKED = 8 * 1024  # bytes of content under one key; what is more is left open
_OPEN_SHARE = 8  # of all bytes, one part of so many is for what is open
_MOST_OPEN = 64 * 1024 * 1024
_LOOKS = 64  # at what is open and still in use, for one that is closed
_MOST_VARIANTS = 32  # a Vary on something unique to each request must not make one key a cache of its own
_SLICE = 250  # keys that are looked at before others have a turn


class _Open:
    """What is kept under one key, to be used: newest first."""

    __slots__ = ("entries", "seat", "size")

    def __init__(self, seat: int, entries: tuple[Entry, ...], size: int) -> None:
        self.seat = seat
        self.entries = entries
        self.size = size  # in bytes, of what is set apart for it; 0 = it was never packed


class MemoryStore:
    """A Store for one event loop.

    `max_bytes` bounds everything kept, `max_entry_bytes` one entry. `on_evict` is told of each entry
    that goes without being replaced: `size` (room was needed), `variants` (too many of one key),
    `invalidated` (its resource changed), `purged`.
    """

    __slots__ = (
        *("_beside", "_count", "_lately", "_max_entry_bytes", "_most_open", "_on_evict", "_open", "_opened"),
        *("_packing", "_queues", "_records", "_room", "_tags", "_uses"),
    )

    def __init__(
        self,
        *,
        max_bytes: int,
        max_entry_bytes: int,
        on_evict: Callable[[str], None] = lambda _reason: None,
    ) -> None:
        self._max_entry_bytes = max_entry_bytes
        self._on_evict = on_evict
        self._queues = Queues(max_bytes)
        self._uses = self._queues.uses
        self._most_open = min(max_bytes // _OPEN_SHARE, _MOST_OPEN)
        self._room = max_bytes - self._queues.size - self._most_open
        # Name → record. A key's name is its place, which is found without an index then; where that is taken
        # by another key of the same place, its primary. Keys and values are bytes alone, and so the garbage
        # collection passes over all of it.
        self._records: dict[bytes, bytes] = {}
        self._beside: Index[bytes] = Index()  # place → the names of those that are not found under it
        self._tags: Index[str] = Index()
        self._packing = packed.Packing()
        self._open: dict[bytes, _Open] = {}  # by primary
        self._lately: OrderedDict[bytes, int] = (
            OrderedDict()
        )  # of those to be closed again, the uses last seen
        self._opened = 0  # bytes
        self._count = 0

    def peek(self, key: Key) -> Sequence[Entry]:
        """As `load`, without waiting; the very same entries again while nothing has changed."""
        shelf = self._open.get(key.primary) or self._unpacked(key)
        if shelf is None:
            return ()
        self._uses[shelf.seat] += 1
        return shelf.entries

    async def load(self, key: Key) -> Sequence[Entry]:
        return self.peek(key)

    async def keep(self, key: Key, entry: Entry, *, asked: float = inf) -> bool:
        del asked  # one process knows by itself what is on its way
        name = self._name(key)
        others = () if name is None else self._entries(name)
        left = tuple(other for other in others if not entry.replaces(other))
        size = entry.size
        if size > self._max_entry_bytes or size + _NAME_OVERHEAD + len(key.target) > self._room:
            # What it would have replaced is older than what its caller was just told.
            if name is not None:
                self._shorten(name, left, "invalidated")
            return False
        if len(left) >= _MOST_VARIANTS:
            left = left[: _MOST_VARIANTS - 1]
            self._on_evict("variants")
        name = self._put(key, (entry, *left))
        seat = packed.seat(self._records[name])
        while self._bytes > self._room:
            victim = self._queues.victim(seat)
            if victim is not None:
                self._remove(self._queues.names[victim], "size")
                continue
            # Where only the new one's own key is left, its oldest variant goes.
            entries = self._entries(name)
            self._shorten(name, entries[:-1], "size")
            if len(entries) == 1:
                return False
        return True

    async def drop(self, key: Key) -> int:
        name = self._name(key)
        return 0 if name is None else self._remove(name, "purged")

    async def drop_place(self, place: bytes) -> int:
        names = [place] if place in self._records else []
        return sum(self._remove(name, "invalidated") for name in (*names, *self._beside.find(place)))

    async def purge(self, what: Purge) -> int:
        gone = 0
        for number, name in _taken(self._records if what.tag is None else self._tags.find(what.tag)):
            if self._reached(name, what):
                if what.tag is None:
                    gone += self._remove(name, "purged")
                else:
                    left = tuple(entry for entry in self._entries(name) if not what.means(entry))
                    gone += self._shorten(name, left, "purged")
            if number % _SLICE == 0:
                await asyncio.sleep(0)
        return gone

    async def kept(self, what: Purge, limit: int) -> Sequence[Kept]:
        found: list[Kept] = []
        for number, name in _taken(self._records):
            if self._reached(name, what):
                key = packed.key(name, self._records[name])
                uses = self._uses[packed.seat(self._records[name])]
                meant = (entry for entry in self._entries(name) if what.means(entry))
                found += (Kept(key=key, entry=entry, uses=uses, size=entry.size) for entry in meant)
            if len(found) >= limit:
                break
            if number % _SLICE == 0:
                await asyncio.sleep(0)
        return found[:limit]

    def usage(self) -> tuple[int, int]:
        return self._count, self._bytes + self._opened

    @property
    def _bytes(self) -> int:
        """Of all but what is open for a while."""
        return self._queues.weight + self._queues.tables + self._tags.size + self._beside.size

    def _name(self, key: Key) -> bytes | None:
        """Under which it is kept; None where it is not."""
        record = self._records.get(key.place)
        if record is not None and record.startswith(key.primary):
            return key.place
        return key.primary if key.primary in self._records else None

    def _reached(self, name: bytes, what: Purge) -> bool:
        record = self._records.get(name)
        return record is not None and what.reaches(*packed.aim(record))

    def _entries(self, name: bytes) -> tuple[Entry, ...]:
        """What is kept under a name, without opening it for longer."""
        record = self._records[name]
        shelf = self._open.get(packed.primary(record))
        return self._packing.entries(name, record) if shelf is None else shelf.entries

    def _unpacked(self, key: Key) -> _Open | None:
        """Opens what is kept under a key, for as long as it is in use."""
        name = self._name(key)
        if name is None:
            return None
        record = self._records[name]
        entries = self._packing.entries(name, record)
        size = _OPEN_OVERHEAD + sum(entry.size for entry in entries)
        shelf = _Open(packed.seat(record), entries, size)
        if size > self._most_open:
            return shelf
        while self._opened + size > self._most_open:
            self._close_one()
        primary = packed.primary(record)
        self._open[primary] = shelf
        self._lately[primary] = self._uses[shelf.seat] + 1  # this is one
        self._opened += size
        return shelf

    def _close_one(self) -> None:
        """The one that was opened first, but for some that were used since they were looked at last."""
        for _ in range(_LOOKS):
            primary, seen = self._lately.popitem(last=False)
            uses = self._uses[self._open[primary].seat]
            if uses == seen:
                break
            self._lately[primary] = uses
        else:
            primary, _ = self._lately.popitem(last=False)
        self._opened -= self._open.pop(primary).size

    def _close(self, primary: bytes) -> None:
        shelf = self._open.pop(primary, None)
        if shelf is not None and shelf.size:
            del self._lately[primary]
            self._opened -= shelf.size

    def _put(self, key: Key, entries: tuple[Entry, ...]) -> bytes:
        """Makes these the variants of a key, newest first; the name under which they are."""
        name, before = self._name(key), tuple[Entry, ...]()
        if name is None:
            name = key.primary if key.place in self._records else key.place
            seat = self._queues.enter(name, 0)
            if name == key.primary:
                self._beside.add(key.place, name)
        else:
            seat, before = packed.seat(self._records[name]), self._entries(name)
            self._close(key.primary)
        small = sum(len(entry.body) for entry in entries) <= _MOST_PACKED
        record = self._packing.pack(key, seat, entries, placed=name == key.place, content=small)
        weight = _NAME_OVERHEAD + getsizeof(record)
        if not small:
            weight += _OPEN_OVERHEAD + sum(entry.size for entry in entries)
            self._open[key.primary] = _Open(seat, entries, 0)
        self._records[name] = record
        self._queues.weigh(seat, weight)
        self._told(name, before, entries)
        return name

    def _shorten(self, name: bytes, left: tuple[Entry, ...], reason: str) -> int:
        """Leaves only these variants, which are some of those there are; how many went."""
        record = self._records[name]
        gone = packed.variants(record) - len(left)
        if not left:
            return self._remove(name, reason)
        if gone:
            self._put(packed.key(name, record), left)
        for _ in range(gone):
            self._on_evict(reason)
        return gone

    def _remove(self, name: bytes, reason: str) -> int:
        """Removes what is kept under a name; how many entries went."""
        record = self._records[name]
        gone, primary = packed.variants(record), packed.primary(record)
        if packed.tagged(record):
            self._told(name, self._entries(name), ())
        else:
            self._count -= gone
        if name == primary:
            self._beside.remove(packed.key(name, record).place, name)
        self._close(primary)
        self._queues.leave(packed.seat(record))
        del self._records[name]
        for _ in range(gone):
            self._on_evict(reason)
        return gone

    def _told(self, name: bytes, before: tuple[Entry, ...], after: tuple[Entry, ...]) -> None:
        """Books what was and what is kept under a name."""
        self._count += len(after) - len(before)
        old, new = _tags(before), _tags(after)
        if old or new:
            self._tags.change(name, old, new)


def _taken(names: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Those that there are now, the last first, counted; each is let go of when it is taken."""
    left = list(names)
    for number in range(1, len(left) + 1):
        yield number, left.pop()


def _tags(entries: tuple[Entry, ...]) -> tuple[str, ...]:
    if len(entries) == 1:
        return entries[0].tags
    return tuple(tag for entry in entries for tag in entry.tags)
