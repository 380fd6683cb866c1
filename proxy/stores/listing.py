"""Which of what is in a disk store's file does a purge mean, and what does a listing show of it?

Both look at every key where the index of tags does not help, in a thread that lets others have a turn.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from proxy.core.caching.purge import Purge
from proxy.core.ports import Kept
from proxy.stores import codec
from proxy.stores.codec import Instant, UnreadableError
from proxy.stores.shelf import Shelf, Variant, tag_name
from proxy.stores.volume import Volume

_SLICE = 200  # keys that are changed in one transaction
_BREATH = 50  # keys that are looked at before other threads have a turn


def meant(volume: Volume, what: Purge) -> list[bytes]:
    """The keys that a purge reaches."""
    found: list[bytes] = []
    with volume.reading() as reading:
        tag = what.tag
        names = volume.names(reading) if tag is None else volume.tagged(reading, tag_name(tag))
        for number, name in enumerate(names):
            shelf = volume.shelf(reading, name)
            if shelf is not None and what.reaches(shelf.key.upstream, shelf.key.target):
                found.append(name)
            if number % _BREATH == 0:
                time.sleep(0)
    return found


def meant_of(shelf: Shelf, what: Purge) -> tuple[Variant, ...]:
    """The variants of a key that a purge means."""
    if not what.reaches(shelf.key.upstream, shelf.key.target):
        return ()
    tag = None if what.tag is None else tag_name(what.tag)
    return tuple(card for card in shelf.variants if tag is None or tag in card.tags)


def slices(names: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """So many as one transaction may change without holding up the others."""
    for begin in range(0, len(names), _SLICE):
        yield names[begin : begin + _SLICE]


def listed(volume: Volume, what: Purge, limit: int, at: Instant) -> list[Kept]:
    """The newest of those that a purge would mean, without their content."""
    found: list[Kept] = []
    with volume.reading() as reading:
        for number, (id_, primary) in enumerate(volume.newest(reading)):
            shelf = volume.shelf(reading, primary)
            floor = None if shelf is None else volume.marks.floor(shelf.key.place)
            for card in () if shelf is None else meant_of(shelf, what):
                if shelf is None or card.id != id_ or card.floor != floor:
                    continue
                try:
                    head = volume.record(reading, card)[: card.head]
                    entry = codec.read(head, None, name=primary, at=at)
                except UnreadableError:
                    continue
                found.append(Kept(key=shelf.key, entry=entry, uses=shelf.uses, size=card.head + card.body))
            if len(found) >= limit:
                break
            if number % _BREATH == 0:
                time.sleep(0)
    return found
