"""Which of what is kept goes first, when room is needed?

The law (S3-FIFO, by bytes): what is new waits in a small queue, a tenth of the room, and goes from there
unless it was asked for again, so that a scan never displaces what is in use. What was asked for again, or
comes back soon after it went, moves into the main queue, where every use since the last look buys another
round, three at most. Nothing is moved when it is used: a use is one number counted up. Every operation costs
the same however much is kept; one that makes room looks at a bounded number of seats and then takes the next.

Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023.
"""

from __future__ import annotations

from array import array
from dataclasses import field
from typing import Generic, TypeVar

from proxy.core.value import dataclass

V = TypeVar("V")

_SMALL_SHARE = 10  # one part of so many of all bytes is for what is new
_MOST_ROUNDS = 3
_MOST_LOOKS = 500  # at seats that stay, for one that goes
_BYTES_A_GHOST = 2048  # of room, for each name that is remembered; a small entry takes as much
_FINGERPRINT = (1 << 32) - 1


@dataclass(slots=True, eq=False)
class Seat(Generic[V]):
    """One thing in the queues. `uses` is counted up by who keeps it; `weight` is in bytes.

    `name` is at least 16 evenly distributed bytes, such as a digest. `paid` counts the uses that have
    bought their round; the rest is its place in its queue.
    """

    name: bytes
    value: V
    weight: int
    uses: int = 0
    paid: int = field(default=0, repr=False)
    queue: _Queue[V] | None = field(default=None, repr=False)
    before: Seat[V] | None = field(default=None, repr=False)
    after: Seat[V] | None = field(default=None, repr=False)


class _Queue(Generic[V]):
    """First in, first out; linked through the seats, so that one may leave from the middle."""

    __slots__ = ("first", "last", "weight")

    def __init__(self) -> None:
        self.first: Seat[V] | None = None
        self.last: Seat[V] | None = None
        self.weight = 0

    def append(self, seat: Seat[V]) -> None:
        seat.queue, seat.before, seat.after = self, self.last, None
        if self.last is None:
            self.first = seat
        else:
            self.last.after = seat
        self.last = seat
        self.weight += seat.weight

    def remove(self, seat: Seat[V]) -> None:
        before, after = seat.before, seat.after
        if before is None:
            self.first = after
        else:
            before.after = after
        if after is None:
            self.last = before
        else:
            after.before = before
        seat.queue = seat.before = seat.after = None
        self.weight -= seat.weight


class Ghosts:
    """The names that went lately, as fingerprints in a table of fixed size; the oldest are overwritten.

    A name may be forgotten early, and one in a few thousand million others mistaken for it: both cost
    a little order and nothing else.
    """

    __slots__ = ("_table", "_told")

    def __init__(self, most: int) -> None:
        self._table = array("Q", bytes(8 * max(1, most)))
        self._told = 0

    @property
    def size(self) -> int:
        """Bytes of memory."""
        return len(self._table) * self._table.itemsize

    def add(self, name: bytes) -> None:
        self._told += 1
        place, print_ = self._read(name)
        self._table[place] = print_ << 32 | self._told & _FINGERPRINT

    def take(self, name: bytes) -> bool:
        """Whether it went lately; it is forgotten with the answer."""
        place, print_ = self._read(name)
        found = self._table[place]
        if not found or found >> 32 != print_:
            return False
        self._table[place] = 0
        return (self._told - found) & _FINGERPRINT < len(self._table)

    def _read(self, name: bytes) -> tuple[int, int]:
        place = int.from_bytes(name[:8], "little") % len(self._table)
        return place, int.from_bytes(name[8:12], "little")


class Queues(Generic[V]):
    """The order in which seats go, for `room` bytes. The caller keeps the weights within the room."""

    __slots__ = ("_ghosts", "_main", "_most_small", "_small")

    def __init__(self, room: int) -> None:
        self._small: _Queue[V] = _Queue()
        self._main: _Queue[V] = _Queue()
        self._ghosts = Ghosts(room // _BYTES_A_GHOST)
        self._most_small = room // _SMALL_SHARE

    @property
    def size(self) -> int:
        """Bytes of memory that the queues need whatever is in them."""
        return self._ghosts.size

    @property
    def weight(self) -> int:
        """Bytes of all seats."""
        return self._small.weight + self._main.weight

    def enter(self, seat: Seat[V]) -> None:
        """The newest."""
        (self._main if self._ghosts.take(seat.name) else self._small).append(seat)

    def leave(self, seat: Seat[V]) -> None:
        """It goes for a reason of its own, and is not remembered."""
        if seat.queue is not None:
            seat.queue.remove(seat)

    def weigh(self, seat: Seat[V], weight: int) -> None:
        """It weighs something else now, and keeps its place."""
        if seat.queue is not None:
            seat.queue.weight += weight - seat.weight
        seat.weight = weight

    def victim(self, spared: Seat[V]) -> Seat[V] | None:
        """The one that goes, already gone; None where only the spared one is left."""
        looks = _MOST_LOOKS
        while True:
            new = _next(self._small, spared)
            old = _next(self._main, spared)
            if new is not None and (old is None or self._small.weight > self._most_small):
                looks -= 1
                self._small.remove(new)
                if looks > 0 and new.uses > new.paid:
                    new.paid = new.uses
                    self._main.append(new)
                    continue
                self._ghosts.add(new.name)
                return new
            if old is None:
                return None
            looks -= 1
            self._main.remove(old)
            left = min(old.uses - old.paid, _MOST_ROUNDS)
            if looks > 0 and left > 0:
                old.paid = old.uses - left + 1
                self._main.append(old)
                continue
            return old


def _next(queue: _Queue[V], spared: Seat[V]) -> Seat[V] | None:
    first = queue.first
    return first.after if first is spared else first
