"""How does one LMDB file hold shelves and records within a number of bytes?

The law: each change is one transaction, so that a process that dies at any point leaves what was there
before it. Whose shelf is changed is marked before and after, so that copies of it are not used any more.
Records are cut into pieces, which find room in a file however worn. Places, tags and the order of going
have an index each.

Order of going: what is new waits in a small queue, a tenth of the room, and goes from there unless it was
asked for again; what was moves into the main queue, where each use buys another round, three at most
(S3-FIFO without its memory of what went; see `eviction`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from struct import Struct
from typing import TypeVar

import lmdb

from proxy.core.caching.key import Key
from proxy.stores.diagnosis import diagnose
from proxy.stores.marks import Marks
from proxy.stores.shelf import MAIN, PIECE, SMALL, Shelf, Variant

T = TypeVar("T")

MOST_VARIANTS = 32
_SMALL_SHARE = 10
_MOST_ROUNDS = 3
_MOST_LOOKS = 500  # at shelves that stay, for one that goes
_MOST_GOING = 2000  # shelves in one change
_MOST_MARKED = 256  # shelves, beyond which all are marked as changed

_COUNTS = Struct(">QQQQQ")
_PIECE_NAME = Struct(">QI")
_TURN = Struct(">cQ")
_NAME = 32  # bytes of the key before each record
_BOOKS = b"books"
_NAMES = (b"shelves", b"records", b"places", b"tags", b"turns", b"meta")


class Volume:
    """An open file. `room` in bytes; what is written is refused beyond. Every call may block."""

    def __init__(self, environment: lmdb.Environment, marks: Marks, *, room: int) -> None:
        """Raises lmdb.Error."""
        self._environment = environment
        self.marks = marks
        self.room = room
        many = {b"places", b"tags"}
        opened = [environment.open_db(name, dupsort=name in many) for name in _NAMES]
        self.shelves, self.records, self.places, self.tags, self.turns, self.meta = opened

    def counts(self) -> tuple[int, int]:
        """(entries, bytes)."""
        with self._environment.begin() as reading:
            entries, size, *_ = _counts(bytes(reading.get(_BOOKS, b"", db=self.meta)))
        return entries, size

    def shelf(self, reading: lmdb.Transaction, primary: bytes) -> Shelf | None:
        raw = reading.get(primary, db=self.shelves)
        return None if raw is None else Shelf.read(bytes(raw))

    def record(self, reading: lmdb.Transaction, card: Variant) -> bytes:
        """Head and body; what is missing of them is missing."""
        pieces = [
            bytes(reading.get(_PIECE_NAME.pack(card.id, number), b"", db=self.records))
            for number in range(_pieces(card))
        ]
        pieces[0] = pieces[0][_NAME:]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def newest(self, reading: lmdb.Transaction) -> Iterator[tuple[int, bytes]]:
        """(id, key) of each variant, the last to come first."""
        with reading.cursor(db=self.records) as cursor:
            found = cursor.last()
            while found:
                id_, number = _PIECE_NAME.unpack(cursor.key())
                if number and not cursor.set_key(_PIECE_NAME.pack(id_, 0)):
                    return
                yield id_, bytes(cursor.value()[:_NAME])
                found = cursor.prev()

    def names(self, reading: lmdb.Transaction) -> Iterator[bytes]:
        """Every key."""
        with reading.cursor(db=self.shelves) as cursor:
            yield from (bytes(name) for name in cursor.iternext(keys=True, values=False))

    def tagged(self, reading: lmdb.Transaction, tag: bytes) -> Iterator[bytes]:
        """The keys under which something with this tag is kept."""
        with reading.cursor(db=self.tags) as cursor:
            if cursor.set_key(tag):
                yield from (bytes(name) for name in cursor.iternext_dup())

    @contextmanager
    def reading(self) -> Iterator[lmdb.Transaction]:
        with self._environment.begin() as transaction:
            yield transaction

    @contextmanager
    def changing(self) -> Iterator[Change]:
        """One transaction; it waits for those of other processes. Where it raises, nothing was changed."""
        with self._environment.begin(write=True) as writing:
            change = Change(self, writing)
            yield change
            change.close()
        change.mark()

    def change(self, uses: Mapping[bytes, int], work: Callable[[Change], T]) -> tuple[T, list[str]]:
        """What `work` returns, and why what went did; in a full file, once more after making room."""
        try:
            with self.changing() as change:
                change.use(uses)
                return work(change), change.gone
        except (lmdb.Error, OSError) as error:
            if diagnose(error) != "full":
                raise
        # A process that died while it read may hold on to room.
        self._environment.reader_check()
        with self.changing() as change:
            change.shrink()
        gone = change.gone
        with self.changing() as change:
            return work(change), gone + change.gone


class Change:
    """A transaction that writes. `gone` are the reasons of what went without being replaced."""

    def __init__(self, volume: Volume, writing: lmdb.Transaction) -> None:
        self._volume = volume
        self._writing = writing
        books = _counts(bytes(writing.get(_BOOKS, b"", db=volume.meta)))
        self._entries, self._bytes, self._small, self._last_id, self._last_turn = books
        self._marked: set[bytes] = set()
        self._all_marked = False
        self.marks = volume.marks
        self.room = volume.room
        self.gone: list[str] = []

    def close(self) -> None:
        """The books, before it is committed."""
        books = _COUNTS.pack(self._entries, self._bytes, self._small, self._last_id, self._last_turn)
        self._writing.put(_BOOKS, books, db=self._volume.meta)
        self.mark()

    def mark(self) -> None:
        """Copies of what it changes are not to be used any more."""
        if self._all_marked or len(self._marked) > _MOST_MARKED:
            self._volume.marks.changed()
            return
        for primary in self._marked:
            self._volume.marks.changed(primary)

    def shelf(self, primary: bytes) -> Shelf | None:
        return self._volume.shelf(self._writing, primary)

    def keep(self, key: Key, card: Variant, record: bytes) -> bool:
        """Makes this the newest variant of its key; whether it is still there when room was made."""
        self._last_id += 1
        card = replace(card, id=self._last_id)
        shelf = self.shelf(key.primary)
        others = () if shelf is None else shelf.variants
        stay = tuple(old for old in others if old.floor == card.floor and not card.replaces(old))
        whole = memoryview(key.primary + record)
        for number in range(-(-len(whole) // PIECE)):
            piece = whole[number * PIECE : (number + 1) * PIECE]
            self._writing.put(_PIECE_NAME.pack(card.id, number), piece, db=self._volume.records)
        variants = (card, *stay)
        self.gone += ["variants"] * (len(variants) - MOST_VARIANTS)
        self._put(shelf, replace(shelf or Shelf(key=key), key=key, variants=variants[:MOST_VARIANTS]))
        self.make_room(key.primary)
        return self.shelf(key.primary) is not None

    def remove(self, primary: bytes, what: Iterable[Variant] | None, reason: str) -> int:
        """These variants of a key, or all; how many went."""
        shelf = self.shelf(primary)
        if shelf is None:
            return 0
        ids = {card.id for card in (shelf.variants if what is None else what)}
        left = tuple(card for card in shelf.variants if card.id not in ids)
        gone = len(shelf.variants) - len(left)
        if gone:
            self._put(shelf, replace(shelf, variants=left))
            self.gone += [reason] * gone
        return gone

    def remove_all(self, reason: str) -> int:
        """Everything; how many went."""
        volume, gone = self._volume, self._entries
        for index in (volume.shelves, volume.records, volume.places, volume.tags, volume.turns):
            self._writing.drop(index, delete=False)
        self._entries = self._bytes = self._small = 0
        self.gone += [reason] * gone
        self._all_marked = True
        return gone

    def at(self, place: bytes) -> list[bytes]:
        """The keys of a place."""
        with self._writing.cursor(db=self._volume.places) as cursor:
            return [bytes(name) for name in cursor.iternext_dup()] if cursor.set_key(place) else []

    def use(self, uses: Mapping[bytes, int]) -> None:
        for primary, count in uses.items():
            shelf = self.shelf(primary)
            if shelf is not None:
                self._write(replace(shelf, uses=shelf.uses + count))

    def make_room(self, newest: bytes) -> None:
        for _ in range(_MOST_GOING):
            if self._bytes <= self.room:
                return
            victim = self._victim(newest)
            if victim is not None:
                self.remove(victim.key.primary, None, "size")
            else:
                # Where only the new one's own key is left, its oldest variant goes.
                shelf = self.shelf(newest)
                if shelf is None:
                    return
                self.remove(newest, shelf.variants[-1:], "size")

    def shrink(self) -> None:
        """Lets a part of everything go, for the file has less room than was thought."""
        goal = self._bytes - self._bytes // 16
        while self._bytes > goal:
            victim = self._victim(b"")
            if victim is None:
                return
            self.remove(victim.key.primary, None, "size")

    def _victim(self, spared: bytes) -> Shelf | None:
        for looks in range(_MOST_LOOKS, -1, -1):
            new, old = self._first(SMALL, spared), self._first(MAIN, spared)
            if new is not None and (old is None or self._small * _SMALL_SHARE > self.room):
                if looks == 0 or new.uses <= new.paid:
                    return new
                self._put(new, replace(new, queue=MAIN, paid=new.uses, turn=0))
            elif old is None:
                return None
            else:
                left = min(old.uses - old.paid, _MOST_ROUNDS)
                if looks == 0 or left <= 0:
                    return old
                self._put(old, replace(old, paid=old.uses - left + 1, turn=0))
        return None

    def _first(self, queue: bytes, spared: bytes) -> Shelf | None:
        with self._writing.cursor(db=self._volume.turns) as cursor:
            found = cursor.set_range(queue)
            while found and bytes(cursor.key())[:1] == queue:
                primary = bytes(cursor.value())
                if primary != spared:
                    return self.shelf(primary)
                found = cursor.next()
        return None

    def _put(self, before: Shelf | None, after: Shelf) -> None:
        """From one state of a shelf to the next, with all that follows from it; no variants, no shelf."""
        volume, writing, primary = self._volume, self._writing, after.key.primary
        if before is not None:
            self._weigh(before, -1)
            if after.turn != before.turn or not after.variants:
                writing.delete(_TURN.pack(before.queue, before.turn), db=volume.turns)
        self._records(() if before is None else before.variants, after.variants, primary)
        if not after.variants:
            writing.delete(primary, db=volume.shelves)
            writing.delete(after.key.place, primary, db=volume.places)
            return
        if not after.turn:
            self._last_turn += 1
            after = replace(after, turn=self._last_turn)
            writing.put(_TURN.pack(after.queue, after.turn), primary, db=volume.turns)
        if before is None:
            writing.put(after.key.place, primary, db=volume.places)
        self._weigh(after, 1)
        self._write(after)

    def _records(self, before: Iterable[Variant], after: Iterable[Variant], primary: bytes) -> None:
        """Takes away the records and tags of what goes, and puts in the tags of what comes."""
        old, new = {card.id: card for card in before}, {card.id: card for card in after}
        if old.keys() == new.keys():
            return
        self._marked.add(primary)
        for card in old.values():
            for number in range(_pieces(card) if card.id not in new else 0):
                self._writing.delete(_PIECE_NAME.pack(card.id, number), db=self._volume.records)
        worn_before, worn = _tags(old.values()), _tags(new.values())
        for tag in worn_before - worn:
            self._writing.delete(tag, primary, db=self._volume.tags)
        for tag in worn - worn_before:
            self._writing.put(tag, primary, db=self._volume.tags)

    def _write(self, shelf: Shelf) -> None:
        self._writing.put(shelf.key.primary, shelf.pack(), db=self._volume.shelves)

    def _weigh(self, shelf: Shelf, sign: int) -> None:
        weight = shelf.weight * sign
        self._entries += len(shelf.variants) * sign
        self._bytes += weight
        if shelf.queue == SMALL:
            self._small += weight


def _pieces(card: Variant) -> int:
    return -(-(_NAME + card.head + card.body) // PIECE)


def _tags(cards: Iterable[Variant]) -> set[bytes]:
    return {tag for card in cards for tag in card.tags}


def _counts(raw: bytes) -> tuple[int, int, int, int, int]:
    """Entries, bytes, those in the small queue, and the last id and turn that were given."""
    return _COUNTS.unpack(raw) if raw else (0, 0, 0, 0, 0)
