"""How does what was purged or changed go, all of it and for everybody?

The law: it is written into the log before anything is looked for, and told when it is done. What cannot be
carried out, because Redis cannot be reached or is full, is remembered and carried out as soon as it can, and
so is what Redis has forgotten with a failover or a restart; until then nothing there is used (`behind`). Once
Redis has evicted anything, its indexes are not trusted: then every name is looked at.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from proxy.core.caching.key import Key
from proxy.core.caching.purge import Purge
from proxy.stores.redis.clients import Client, Command, LostError
from proxy.stores.redis.link import Link
from proxy.stores.redis.log import Drop, Log
from proxy.stores.redis.names import Names, member, short, tag_name
from proxy.stores.redis.scripts import DROP
from proxy.stores.redis.shelf import Shelf

AT_ONCE = 200  # commands of a long piece of work that share a round trip
PATIENCE = 2.0  # seconds for one round trip of a long piece of work
_MOST_REMEMBERED = 1000  # drops while Redis cannot be reached; beyond, everything is dropped

Ask = Callable[..., Awaitable[list[Any]]]


class _UntoldError(LostError):
    """It was carried out, and the others could not be told."""


class Drops:
    """`evicting`: whether Redis is known to have evicted anything."""

    def __init__(self, link: Link, client: Client, log: Log, names: Names) -> None:
        self._link = link
        self._client = client
        self._log = log
        self._names = names
        self._missed: list[Drop | Key] = []
        self._undone = False
        self.evicting = False

    @property
    def behind(self) -> bool:
        """Whether something may still be there that was dropped here."""
        return self._undone or bool(self._log.lost)

    async def drop(self, what: Drop | Key) -> int:
        """How many entries went; what could not be done yet is remembered."""
        return await self._drop(what, self._link.ask)

    async def replay(self) -> int:
        """What is remembered, also on a link that is not up yet. Raises LostError."""
        gone = 0
        ask = self._link.ask if self._link.up else self._link.directly
        self._undone = self.behind
        self._remember(*self._log.lost)
        self._log.lost = []
        while self._missed:
            left = len(self._missed)
            gone += await self._drop(self._missed.pop(0), ask)
            if len(self._missed) >= left:
                raise LostError("it broke off again")
        self._undone = False
        return gone

    async def _drop(self, what: Drop | Key, ask: Ask) -> int:
        gone = 0
        try:
            async for several in self._carried_out(what, ask):
                gone += several
        except LostError as lost:
            self._undone = self._undone or not isinstance(lost, _UntoldError)
            self._remember(what)
        return gone

    def _remember(self, *several: Drop | Key) -> None:
        self._missed += several
        if len(self._missed) > _MOST_REMEMBERED:
            self._missed = [Drop(at=self._log.instant().wall, what=Purge())]

    async def _carried_out(self, what: Drop | Key, ask: Ask) -> AsyncIterator[int]:
        """In pieces; how many entries went in each. Raises LostError."""
        log = self._log
        if isinstance(what, Key):
            gone, _ = await ask([self.command(member(what), "all")], [log.told(key=what)])
            yield number(gone)
            return
        written = await ask([log.dropping(what)], patience=PATIENCE)
        async for gone in self._searched(what, ask):
            yield gone
        written += await ask([log.told(place=what.place)])
        if any(isinstance(reply, Exception) for reply in written):
            # A Redis that is full took no word of it, so others do not know: once more, when there is room.
            raise _UntoldError("it is full")

    async def _searched(self, what: Drop, ask: Ask) -> AsyncIterator[int]:
        """What is there of it goes. Raises LostError."""
        names = self._names
        if what.what is None:
            (there,) = await ask([("ZRANGE", names.place(what.place or b""), 0, -1)], patience=PATIENCE)
            for some in _parted([names.of_place(what.place or b"", key.decode()) for key in there]):
                yield await self._drop_all(some, ask, "all")
            return
        meant = what.what
        which = ("all",) if meant.tag is None else ("tag", tag_name(meant.tag))
        narrowed = meant.path is not None or (meant.tag is not None and meant.upstream is not None)
        async for members in self._candidates(meant, ask):
            chosen = members
            if narrowed or self.evicting:
                shelves = await self._shelves(members, ask)
                chosen = [shelf.name for shelf in shelves if meant.reaches(shelf.upstream, shelf.target)]
            yield await self._drop_all(chosen, ask, *which)

    async def _drop_all(self, members: Sequence[str], ask: Ask, *which: str) -> int:
        if not members:
            return 0
        commands = [self.command(name, *which) for name in members]
        return sum(number(reply) for reply in await ask(commands, patience=PATIENCE))

    def command(self, name: str, *which: str | int) -> Command:
        """Drops, of the shelf that an index's member stands for, the variants that DROP's words mean."""
        return ("EVAL", DROP, 2, self._names.named(name), self._names.beside(name), short(name), *which)

    def candidates(self, what: Purge) -> AsyncIterator[Sequence[str]]:
        """The index's members that it may mean, some more than once. Raises LostError."""
        return self._candidates(what, self._link.ask)

    async def _candidates(self, what: Purge, ask: Ask) -> AsyncIterator[Sequence[str]]:
        names = self._names
        if self.evicting:
            async for found in self._client.names(names.shelves):
                members = (names.member_of(name.decode()) for name in found)
                for some in _parted([one for one in members if one is not None]):
                    yield some
            return
        for index in await self._indexes(what, ask):
            cursor: Any = 0
            while True:
                asked = ("ZSCAN", index, cursor, "COUNT", AT_ONCE)
                ((cursor, pairs),) = await ask([asked], patience=PATIENCE)
                for some in _slices([one for one, _ in pairs]):
                    yield some
                if not int(cursor):
                    break

    async def _indexes(self, what: Purge, ask: Ask) -> list[str]:
        if what.tag is not None:
            return [self._names.tag(what.tag)]
        if what.upstream is not None:
            return [self._names.upstream(what.upstream)]
        (upstreams,) = await ask([("ZRANGE", self._names.upstreams, 0, -1)])
        return [self._names.upstream(one.decode()) for one in upstreams]

    async def shelves(self, members: Sequence[str]) -> list[Shelf]:
        """What can be said of each without its contents. Raises LostError."""
        return await self._shelves(members, self._link.ask)

    async def _shelves(self, members: Sequence[str], ask: Ask) -> list[Shelf]:
        if not members:
            return []
        asked = [("HMGET", self._names.named(name), "@", "#", "~", "%") for name in members]
        replies = await ask(asked, patience=PATIENCE)
        return [
            Shelf.of(dict(zip((b"@", b"#", b"~", b"%"), reply, strict=True)), name=name)
            for name, reply in zip(members, replies, strict=True)
            if isinstance(reply, list) and reply[0] is not None and reply[1] is not None
        ]


def number(reply: Any) -> int:
    """What a script counted; 0 where it was refused."""
    return reply if isinstance(reply, int) else 0


def _slices(members: Sequence[bytes]) -> list[list[str]]:
    return _parted([name.decode() for name in members])


def _parted(names: list[str]) -> list[list[str]]:
    return [names[start : start + AT_ONCE] for start in range(0, len(names), AT_ONCE)]
