"""What have others dropped or renewed, so that no copy of it is used and nothing older is kept?

The law: whoever drops something writes it into the stream `drops` before, and into the stream `news` when it
is done; who keeps something reads `drops` afterwards. So either the dropping finds what is being kept, or the
keeping finds the drop: what was asked for before it does not stay. Every process follows both streams. A copy
is vouched for while they are followed without a gap, and until there is news of it.

Moments are the server's, which is one clock for all: each process knows how far its own is off, to half of
a quick round trip, and asks again before it goes by a clock that was set meanwhile.
"""

from __future__ import annotations

import asyncio
import json
from array import array
from collections import deque
from collections.abc import Iterable
from dataclasses import field
from math import inf
from secrets import token_hex
from typing import Any

from proxy.core.caching.entry import Entry
from proxy.core.caching.key import Key
from proxy.core.caching.purge import Purge
from proxy.core.ports import Clock
from proxy.core.value import dataclass
from proxy.stores.codec import Instant
from proxy.stores.redis.clients import Client, Command, LostError
from proxy.stores.redis.link import Link
from proxy.stores.redis.names import Names

_SLOTS = 1 << 14
_MOST_DROPS = 20_000  # in the stream, and remembered here
_MOST_NEWS = 20_000
_AT_ONCE = 1000
_BLOCK = 300  # ms for which the server holds a question without an answer
_PAUSE = 0.05  # seconds before following is tried again
_STEADY = 0.05  # seconds by which one clock may move against the other before somebody set it
_QUESTIONS = 3  # for the time
_INSTANT = 1e-5  # seconds, within which two moments are one
_START = "0-0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """What was dropped, and when by the server's clock: all of a resource, or what a purge means."""

    at: float
    place: bytes | None = None
    what: Purge | None = None
    id: str = field(default="", compare=False)

    def means(self, key: Key, entry: Entry) -> bool:
        if self.what is None:
            return self.place == key.place
        return self.what.reaches(key.upstream, key.target) and self.what.means(entry)


class Log:
    """One process's view of what all have changed; it is also core.ports.Changes.

    `follower` is a client of its own, since its questions wait at the server.
    """

    def __init__(self, link: Link, follower: Client, names: Names, clock: Clock, *, boot: str = "") -> None:
        self._link = link
        self._follower = follower
        self._names = names
        self._clock = clock
        self._boot = boot
        self._origin = token_hex(8)
        self._offset: float | None = None
        self._took = inf  # seconds for the answer that told it
        self._ahead: float | None = None  # how far the wall clock is before the other one
        self._drops_at = self._news_at = ""
        self._floor = -inf  # of what was dropped before, nothing is known
        self._recent: deque[Drop] = deque()
        self.lost: list[Drop] = []  # was in the log once, and has to be carried out again
        self._keys = array("Q", bytes(8 * _SLOTS))
        self._places = array("Q", bytes(8 * _SLOTS))
        self._everything = 0
        self._following = False
        self._closed = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._follow(), name="redis news")

    async def close(self) -> None:
        self._closed = True  # the library may lose a cancellation
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._follower.close()

    # Moments

    def instant(self) -> Instant:
        """Now, by the clock that all share."""
        wall = self._clock.wall() + (self._offset or 0.0)
        return Instant(now=self._clock.now(), wall=wall, boot=self._boot)

    async def set_clock(self) -> None:
        """Asks the server for the time: of several answers the quickest errs least. Raises LostError."""
        answers = [await self._time() for _ in range(_QUESTIONS)]
        took, offset, self._ahead = min(answers)
        wrong = self._offset is not None and abs(offset - self._offset) > (took + self._took) / 2
        if self._offset is None or wrong or took < self._took:
            self._offset, self._took = offset, took

    async def _time(self) -> tuple[float, float, float]:
        """How long the answer took, how far the server is ahead of our wall clock, and that of the other."""
        began, wall = self._clock.now(), self._clock.wall()
        (reply,) = await self._link.directly([("TIME",)])
        took = self._clock.now() - began
        return took, int(reply[0]) + int(reply[1]) / 1e6 - wall - took / 2, wall - began

    async def look_at_clock(self) -> None:
        """Asks again where the wall clock was set, or the machine slept. Raises LostError."""
        ahead = self._clock.wall() - self._clock.now()
        if self._ahead is not None and abs(ahead - self._ahead) > _STEADY:
            await self.set_clock()

    # What is written

    def dropping(self, drop: Drop) -> Command:
        """To be carried out before anything of it is removed."""
        if drop.what is not None:
            said = {"upstream": drop.what.upstream, "path": drop.what.path, "tag": drop.what.tag}
            means: tuple[str, str | bytes] = ("w", json.dumps(said))
        else:
            means = ("p", drop.place or b"")
        stream = ("XADD", self._names.drops, "MAXLEN", "~", _MOST_DROPS, "*")
        return (*stream, "o", self._origin, "a", f"{drop.at:.6f}", *means)

    def told(self, *, key: Key | None = None, place: bytes | None = None) -> Command:
        """To be carried out when it is done: of one key, of a resource, or of anything."""
        if key is not None:
            means: tuple[str, bytes] = ("k", key.primary)
            self._keys[_slot(key.primary)] += 1
        elif place is not None:
            means = ("p", place)
            self._places[_slot(place)] += 1
        else:
            means = ("e", b"")
            self._everything += 1
        stream = ("XADD", self._names.news, "MAXLEN", "~", _MOST_NEWS, "*")
        return (*stream, "o", self._origin, *means)

    def later(self) -> Command:
        """The question for what was dropped that is not known here yet."""
        return ("XRANGE", self._names.drops, _after(self._drops_at), "+", "COUNT", _AT_ONCE)

    # What is known

    def forbids(self, key: Key, entry: Entry, asked: float, later: Iterable[Any] = ()) -> bool:
        """Whether this was dropped since it was asked for, or may have been; `later` is a reply to that."""
        if asked == inf:
            return False
        since = self.instant().wall - (self._clock.now() - asked)
        found = list(later)
        if since <= self._floor or len(found) >= _AT_ONCE:
            return True
        for drop in (*(_read(*row) for row in found), *reversed(self._recent)):
            if drop.at - since > _INSTANT and drop.means(key, entry):
                return True
        return False

    def mark(self, key: Key) -> object | None:
        """Another one after each change of what is kept under a key; None while changes are not heard of."""
        if not self._following or not self._link.up:
            return None
        return self._everything, self._keys[_slot(key.primary)], self._places[_slot(key.place)]

    def note(self, place: bytes) -> None:
        self._places[_slot(place)] += 1

    def seen(self, place: bytes) -> int:
        return self._everything + self._places[_slot(place)]

    # Following

    async def catch_up(self) -> None:
        """Learns of everything since the last time. Raises LostError."""
        names = self._names
        if not self._drops_at:
            last = [("XREVRANGE", stream, "+", "-", "COUNT", 1) for stream in (names.drops, names.news)]
            newest = await self._link.directly(last)
            self._drops_at, self._news_at = (_id(rows[0][0]) if rows else _START for rows in newest)
            self._floor = self.instant().wall
            return
        if await self._torn(names.drops, self._drops_at) or await self._torn(names.news, self._news_at):
            # What was missed is not there any more: everything may have changed.
            await self._look_for_lost()
            self._everything += 1
            self._floor = self.instant().wall
            self._drops_at = self._news_at = ""
            await self.catch_up()
            return
        while True:
            (rows,) = await self._link.directly([self.later()])
            self._dropped(rows)
            if len(rows) < _AT_ONCE:
                break
        while True:
            after = _after(self._news_at)
            (rows,) = await self._link.directly([("XRANGE", names.news, after, "+", "COUNT", _AT_ONCE)])
            self._renewed(rows)
            if len(rows) < _AT_ONCE:
                break

    async def _torn(self, stream: str, at: str) -> bool:
        here, length, newest = await self._link.directly(
            [
                ("XRANGE", stream, at, at),
                ("XLEN", stream),
                ("XREVRANGE", stream, "+", "-", "COUNT", 1),
            ]
        )
        if at == _START:
            return int(length) >= _AT_ONCE
        return not here or _id(newest[0][0]) == _START

    async def _look_for_lost(self) -> None:
        """A replica that lagged, or an older copy of the data, knows less than was known here."""
        (rows,) = await self._link.directly([("XREVRANGE", self._names.drops, "+", "-", "COUNT", 1)])
        newest = _order(_id(rows[0][0]) if rows else _START)
        lost = {(drop.place, drop.what): drop for drop in self._recent if _order(drop.id) > newest}
        self.lost += lost.values()

    async def _follow(self) -> None:
        while not self._closed:
            if not self._link.up:
                self._following = False
                await asyncio.sleep(_PAUSE)
                continue
            try:
                if not self._following:
                    await self.catch_up()
                    self._following = True
                await self._listen()
            except LostError:
                self._following = False
                await asyncio.sleep(_PAUSE)

    async def _listen(self) -> None:
        names = self._names
        streams = (names.drops, names.news, self._drops_at, self._news_at)
        asked: Command = ("XREAD", "COUNT", _AT_ONCE, "BLOCK", _BLOCK, "STREAMS", *streams)
        (reply,) = await self._follower.run([asked])
        read = [(stream, at) for stream, at in zip(streams[:2], streams[2:], strict=True) if at != _START]
        if not all(await self._follower.run([("XRANGE", stream, at, at) for stream, at in read])):
            raise LostError("its log was cut short")
        for stream, rows in reply or ():
            if stream.decode() == names.drops:
                self._dropped(rows)
            else:
                self._renewed(rows)

    def _dropped(self, rows: Iterable[Any]) -> None:
        for id_, fields in rows:
            drop = _read(id_, fields)
            self._recent.append(drop)
            if len(self._recent) > _MOST_DROPS:
                self._floor = max(self._floor, self._recent.popleft().at)
            if fields[b"o"].decode() != self._origin:
                self._change(drop.place, b"" if drop.place is None else None)
            self._drops_at = _id(id_)

    def _renewed(self, rows: Iterable[Any]) -> None:
        for id_, fields in rows:
            if fields[b"o"].decode() != self._origin:
                if b"k" in fields:
                    self._keys[_slot(fields[b"k"])] += 1
                self._change(fields.get(b"p"), fields.get(b"e"))
            self._news_at = _id(id_)

    def _change(self, place: bytes | None, everything: bytes | None) -> None:
        if place is not None:
            self._places[_slot(place)] += 1
        if everything is not None:
            self._everything += 1


def _read(id_: Any, fields: dict[bytes, bytes]) -> Drop:
    at = max(float(fields[b"a"]), int(id_.partition(b"-")[0]) / 1000)
    said = fields.get(b"w")
    return Drop(
        at=at, place=fields.get(b"p"), what=None if said is None else Purge(**json.loads(said)), id=_id(id_)
    )


def _id(id_: bytes) -> str:
    return id_.decode("ascii")


def _order(id_: str) -> tuple[int, int]:
    moment, _, number = id_.partition("-")
    return int(moment), int(number)


def _after(id_: str) -> str:
    """The least id that comes after one; after nothing, the first."""
    if not id_:
        return "-"
    moment, _, number = id_.partition("-")
    return f"{moment}-{int(number) + 1}"


def _slot(digest: bytes) -> int:
    return int.from_bytes(digest[:4], "little") % _SLOTS
