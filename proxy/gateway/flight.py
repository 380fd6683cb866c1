"""Who fetches, when many ask for the same at once?

The law: one leads, the others wait for its head and then read along. A leader that leaves or fails wakes
one of them to lead next; when a second one fails, those who waited share its failure rather than fail one
after the other. An answer that cannot be shared frees everybody at once. No outcome is lost: one that
reaches a waiter who has just left is handed on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from math import inf

from proxy.core.caching.entry import Entry
from proxy.core.caching.purge import Purge
from proxy.core.failure import APIError, DeadlineExceededError
from proxy.core.ports import Changes
from proxy.core.value import dataclass
from proxy.gateway.fill import Fill, Reader

_FAILURES_SHARED = 2
_MOST_PURGED = 64  # tags that one flight is told of; beyond, it is as if its own were among them


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """Fetch it yourself, for all who wait: the one before you has gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Freed:
    """Fetch it yourself, for yourself: it cannot be shared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """It failed for those who led."""

    error: APIError


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """Read along. The entry has no body yet."""

    entry: Entry
    reader: Reader

    def release(self) -> None:
        """Does not read it after all."""
        self.reader.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """The origin confirmed what was stored; the entry is whole and fresh again."""

    entry: Entry

    def release(self) -> None:
        """Nothing is held."""


Outcome = Lead | Freed | Failed | Joined | Confirmed


class Flight:
    """One fetch and those who wait for it. Made by `Flights`, with a leader on board.

    `shared`: others may join; one that is not is only watched for changes of its resource. `opened` is the
    monotonic time since when such changes concern it.
    """

    __slots__ = (
        "_confirmed",
        "_doomed",
        "_entry",
        "_failures",
        "_fill",
        "_flights",
        "_freed",
        "_purged",
        "_seen",
        "_turn",
        "_waiting",
        "id",
        "opened",
        "place",
        "shared",
        "target",
        "upstream",
    )

    def __init__(
        self,
        flights: Flights,
        id_: bytes,
        place: bytes,
        *,
        upstream: str,
        target: str,
        shared: bool,
        opened: float,
    ) -> None:
        self.id = id_
        self.opened = opened
        self.shared = shared
        self.place = place
        self.upstream = upstream
        self.target = target
        self._doomed = False
        self._purged: set[str] = set()  # tags
        self._flights = flights
        self._waiting: dict[asyncio.Future[Outcome], None] = {}
        self._failures = 0
        self._entry: Entry | None = None
        self._fill: Fill | None = None
        self._confirmed: Confirmed | None = None
        self._freed = False
        self._turn: Callable[[bool], None] | None = None
        self._seen = flights.seen(place)

    async def join(self) -> Outcome:
        """Waits for the leader's head. A `Joined` reader has to be closed by who gets it."""
        landed = self._landed()
        if landed is not None:
            return landed
        waiting: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting[waiting] = None
        try:
            return await waiting
        except asyncio.CancelledError:
            self._waiting.pop(waiting, None)
            if waiting.done() and not waiting.cancelled():
                self._hand_on(waiting.result())
            raise

    def pass_on(self, error: APIError | None) -> None:
        """The leader has gone without an answer: it left (None), or failed.

        That its own time was over says nothing of the others', so it is as if it had left.
        """
        if error is not None and not isinstance(error, DeadlineExceededError):
            self._failures += 1
            if self._failures >= _FAILURES_SHARED:
                self._settle(Failed(error=error))
                self._flights.close(self)
                return
        while self._waiting:
            waiting = next(iter(self._waiting))
            del self._waiting[waiting]
            if not waiting.done():
                waiting.set_result(Lead())
                return
        self._flights.close(self)

    def free(self) -> None:
        """The answer cannot be shared."""
        self._freed = True
        self._flights.close(self)
        self._settle(Freed())

    @property
    def has_turn(self) -> bool:
        """Whether it is fetched for other processes too."""
        return self._turn is not None

    def take_turn(self, end: Callable[[bool], None]) -> None:
        """Other processes wait for it. `end` is called once: with its close, or when nobody can wait."""
        self._turn = end

    def end_turn(self, *, shared: bool) -> None:
        """Lets other processes go on; unless `shared`, each for itself."""
        end, self._turn = self._turn, None
        if end is not None:
            end(shared and not self._freed)

    def land(self, entry: Entry, fill: Fill) -> None:
        """The head is here; everybody who waits gets a reader, and so does who comes while it fills."""
        self._entry, self._fill = entry, fill
        self._doomed = not self.keeps(entry)
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(Joined(entry=entry, reader=fill.reader()))
        self._waiting.clear()
        if self._doomed:
            fill.slide()

    def confirm(self, entry: Entry) -> None:
        """What was stored is right. The flight stays open until it is closed."""
        self._confirmed = Confirmed(entry=entry)
        self._entry = entry
        self._doomed = not self.keeps(entry)
        self._settle(self._confirmed)

    def doom(self) -> None:
        """What it fetches has been changed or purged."""
        self._doomed = True
        if self._fill is not None:
            self._fill.slide()

    def purge(self, tag: str) -> bool:
        """All that has this tag has been purged; whether that means what is fetched here.

        Before the head is here it may.
        """
        self._purged.add(tag)
        if self._entry is not None and tag not in self._entry.tags:
            return False
        if self._entry is not None or len(self._purged) > _MOST_PURGED:
            self.doom()
        return True

    def doomed(self) -> bool:
        """Whether its resource was changed meanwhile: nobody new may join, nothing of it is kept."""
        return self._doomed or self._flights.seen(self.place) != self._seen

    def keeps(self, entry: Entry) -> bool:
        """Whether this, which it fetched, may be kept: neither changed nor purged meanwhile."""
        return not self.doomed() and self._purged.isdisjoint(entry.tags)

    def _landed(self) -> Outcome | None:
        if self._confirmed is not None:
            return self._confirmed
        if self._entry is not None and self._fill is not None and self._fill.joinable:
            return Joined(entry=self._entry, reader=self._fill.reader())
        return None

    def _settle(self, outcome: Outcome) -> None:
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(outcome)
        self._waiting.clear()

    def _hand_on(self, outcome: Outcome) -> None:
        if isinstance(outcome, Lead):
            self.pass_on(None)
        elif isinstance(outcome, Joined):
            outcome.reader.close()


class Flights:
    """All that is being fetched for the cache. `landings` grows whenever one of them ends.

    `changed` is the monotonic time at which something was last dropped or purged here; `changes` tells of
    what other processes change.
    """

    __slots__ = ("_changes", "_joinable", "_places", "changed", "landings")

    def __init__(self, changes: Changes | None = None) -> None:
        self._changes = changes
        self._joinable: dict[bytes, Flight] = {}
        self._places: dict[bytes, set[Flight]] = {}
        self.landings = 0
        self.changed = -inf

    def __len__(self) -> int:
        """Flights that have not ended."""
        return sum(len(there) for there in self._places.values())

    def find(self, id_: bytes) -> Flight | None:
        """The flight that a newcomer may join."""
        flight = self._joinable.get(id_)
        if flight is not None and self._changes is not None and flight.doomed():
            self._doom((flight,))
            return None
        return flight

    def seen(self, place: bytes) -> int:
        """A number that is another one after each change that any process knows of."""
        return 0 if self._changes is None else self._changes.seen(place)

    def open(
        self,
        id_: bytes,
        place: bytes,
        *,
        upstream: str = "",
        target: str = "",
        shared: bool = True,
        opened: float = inf,
    ) -> Flight:
        """A new flight, led by who opens it; one that is not `shared` is only for its leader."""
        flight = Flight(self, id_, place, upstream=upstream, target=target, shared=shared, opened=opened)
        if shared:
            self._joinable[id_] = flight
        self._places.setdefault(place, set()).add(flight)
        return flight

    def close(self, flight: Flight) -> None:
        """Nobody joins it from now on. Closing twice does nothing."""
        self._unlist(flight)
        there = self._places.get(flight.place)
        if there is None or flight not in there:
            return
        there.discard(flight)
        if not there:
            del self._places[flight.place]
        self.landings += 1
        flight.end_turn(shared=True)

    def doom(self, place: bytes) -> None:
        """A resource has changed: what is on the way for it may be from before."""
        if self._changes is not None:
            self._changes.note(place)
        self._doom(self._places.get(place, ()))

    def purge(self, what: Purge) -> None:
        """What is on the way and meant by it is not kept, and nobody new joins what may be meant."""
        for there in tuple(self._places.values()):
            meant = [flight for flight in there if what.reaches(flight.upstream, flight.target)]
            if what.tag is None:
                self._doom(meant)
            else:
                for flight in meant:
                    if flight.purge(what.tag):
                        self._unlist(flight)

    def _doom(self, flights: Iterable[Flight]) -> None:
        for flight in tuple(flights):
            self._unlist(flight)
            flight.doom()

    def _unlist(self, flight: Flight) -> None:
        if self._joinable.get(flight.id) is flight:
            del self._joinable[flight.id]
