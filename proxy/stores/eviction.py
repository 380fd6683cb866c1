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

_SMALL_SHARE = 10  # one part of so many of all bytes is for what is new
_MOST_ROUNDS = 3
_MOST_LOOKS = 500  # at seats that stay, for one that goes
_BYTES_A_GHOST = 2048  # of room, for each name that is remembered; a small entry takes as much
_FINGERPRINT = (1 << 32) - 1
_SMALL, _MAIN, _RINGS = 0, 1, 2  # the seats that stand before the first of each queue, and their number
_SEAT = 45  # bytes of a seat in all tables, which are made larger by a sixteenth at a time


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


class Queues:
    """The order in which names go, for `room` bytes. The caller keeps the weights within the room.

    A name that enters gets a seat: a number that is its own until it leaves. What is known of the seats
    stands in tables of numbers, which the garbage collection has no need to look through.
    `uses` is counted up by the caller. `names` are at least 16 evenly distributed bytes, such as digests.
    """

    __slots__ = (
        *("_after", "_before", "_free", "_ghosts", "_most_small", "_paid", "_weights", "_where"),
        *("names", "uses"),
    )

    def __init__(self, room: int) -> None:
        self._ghosts = Ghosts(room // _BYTES_A_GHOST)
        self._most_small = room // _SMALL_SHARE
        self._free = 0  # the first of the seats that nobody has; 0 = there is none
        # Two rings, so that one may leave from the middle: after _SMALL comes the first, before it the last.
        self._after = array("I", (_SMALL, _MAIN))
        self._before = array("I", (_SMALL, _MAIN))
        self._where = array("B", (_SMALL, _MAIN))
        self._weights = array("Q", (0, 0))  # those of the two rings are all that is in them
        self._paid = array("Q", (0, 0))  # how many of the uses have bought their round
        self.uses = array("Q", (0, 0))
        self.names: list[bytes] = [b"", b""]

    @property
    def size(self) -> int:
        """Bytes of memory that the queues need whatever is in them."""
        return self._ghosts.size

    @property
    def tables(self) -> int:
        """Bytes of memory that all seats need which were ever taken at once."""
        return _SEAT * (len(self.names) - _RINGS)

    @property
    def weight(self) -> int:
        """Bytes of all that is in them."""
        return self._weights[_SMALL] + self._weights[_MAIN]

    def enter(self, name: bytes, weight: int) -> int:
        """The seat of the newest, which weighs so many bytes."""
        seat = self._free
        if seat:
            self._free = self._after[seat]
            self.names[seat] = name
            self._weights[seat], self._paid[seat], self.uses[seat] = weight, 0, 0
        else:
            seat = len(self.names)
            self.names.append(name)
            for table in self._tables():
                table.append(0)
            self._weights[seat] = weight
        self._append(_MAIN if self._ghosts.take(name) else _SMALL, seat)
        return seat

    def leave(self, seat: int) -> None:
        """It goes, and somebody else may have its seat."""
        self._remove(seat)
        self.names[seat] = b""
        self._after[seat], self._free = self._free, seat
        if self._after[_SMALL] == _SMALL and self._after[_MAIN] == _MAIN:
            self._free = 0
            del self.names[_RINGS:]
            for table in self._tables():
                del table[_RINGS:]

    def weigh(self, seat: int, weight: int) -> None:
        """It weighs something else now, and keeps its place."""
        self._weights[self._where[seat]] += weight - self._weights[seat]
        self._weights[seat] = weight

    def victim(self, spared: int) -> int | None:
        """The one that has to leave next; None where only the spared one is left."""
        looks = _MOST_LOOKS
        while True:
            new = self._first(_SMALL, spared)
            old = self._first(_MAIN, spared)
            looks -= 1
            if new and (not old or self._weights[_SMALL] > self._most_small):
                uses = self.uses[new]
                if looks <= 0 or uses <= self._paid[new]:
                    self._ghosts.add(self.names[new])
                    return new
                self._paid[new] = uses
                self._remove(new)
                self._append(_MAIN, new)
                continue
            if not old:
                return None
            left = min(self.uses[old] - self._paid[old], _MOST_ROUNDS)
            if looks <= 0 or left <= 0:
                return old
            self._paid[old] = self.uses[old] - left + 1
            self._remove(old)
            self._append(_MAIN, old)

    def _tables(self) -> tuple[array[int], ...]:
        return self._after, self._before, self._where, self._weights, self._paid, self.uses

    def _first(self, ring: int, spared: int) -> int:
        """Of those that may go; 0 where there is none."""
        first = self._after[ring]
        if first == spared:
            first = self._after[first]
        return 0 if first == ring else first

    def _append(self, ring: int, seat: int) -> None:
        last = self._before[ring]
        self._after[last] = self._before[ring] = seat
        self._before[seat], self._after[seat] = last, ring
        self._where[seat] = ring
        self._weights[ring] += self._weights[seat]

    def _remove(self, seat: int) -> None:
        before, after = self._before[seat], self._after[seat]
        self._after[before], self._before[after] = after, before
        self._weights[self._where[seat]] -= self._weights[seat]
