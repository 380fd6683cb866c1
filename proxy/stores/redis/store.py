"""How are entries kept in a Redis that several processes share?

A look-up is one round trip, and so is keeping something. What goes first when room is needed is Redis's
own business: entries bear the time for which they can be of use. A shelf that its index does not name is not
read: Redis may have let the index go, and then nobody could drop it.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from math import inf
from secrets import token_bytes
from typing import Any

from proxy.core.caching.entry import Entry
from proxy.core.caching.key import Key
from proxy.core.caching.outage import UNSAID_MOST
from proxy.core.caching.purge import Purge
from proxy.core.ports import Clock, Kept
from proxy.stores import codec
from proxy.stores.codec import UnreadableError
from proxy.stores.health import Health
from proxy.stores.redis.clients import Client, Command, LostError
from proxy.stores.redis.drops import AT_ONCE, PATIENCE, Drops, number
from proxy.stores.redis.link import Link
from proxy.stores.redis.log import Drop, Log
from proxy.stores.redis.names import Names, member, short, tag_name
from proxy.stores.redis.scripts import ALL, INDEX, KEEP, USED
from proxy.stores.redis.shelf import Shelf, field_name, listed, read
from proxy.stores.redis.turns import RedisTurns

MAX_BYTES = 1024 * 1024  # of one entry
_MOST_VARIANTS = 32
_MOST_TAGS = 256  # of one entry
_LONGEST = 30 * 86_400.0  # seconds for which anything is kept
_ASKABLE = (
    86_400.0  # seconds for which something stale is kept, only because the origin can be asked about it
)
_SALT = 32  # bytes
PATIENCE_AT_START = 1.0  # seconds that a start waits for Redis
_FLUSHED = 1.0  # seconds between two reports of uses
_REFRESHED = 10  # reports between two looks at the server
_MOST_LISTED = 20_000  # keys that a listing looks at


class RedisStore:
    """A tier.Backing. `max_entry_bytes` bounds one entry; `on_evict` is told as by the memory store."""

    def __init__(
        self,
        client: Client,
        follower: Client,
        clock: Clock,
        *,
        where: str,
        prefix: str = "leeward",
        max_entry_bytes: int = MAX_BYTES,
        on_evict: Callable[[str], None] = lambda _reason: None,
        on_failure: Callable[[str], None] = lambda _reason: None,
        boot: str = "",
        patience: float = PATIENCE_AT_START,
        **link: Any,
    ) -> None:
        self._client = client
        self._clock = clock
        self._patience = patience
        self._names = Names(prefix)
        self._max_entry_bytes = max_entry_bytes
        self._on_evict = on_evict
        self._on_failure = on_failure
        self._health = Health(where)
        # Without the log nothing works, wherever in a cluster it is.
        sign: Command = ("EXISTS", self._names.drops)
        self.link = Link(client, clock, health=self._health, on_fault=on_failure, probe=sign, **link)
        self.log = Log(self.link, follower, self._names, clock, boot=boot)
        self.turns = RedisTurns(self.link, self._names, clock)
        self.drops = Drops(self.link, client, self.log, self._names)
        self.link.caught_up += [
            partial(client.prepare, ALL),
            self.log.set_clock,
            self.log.catch_up,
            self._refresh,
            self._replay,
        ]
        self.salt: bytes | None = None
        self._usage = (0, 0)
        self._uses: Counter[str] = Counter()
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def trouble(self) -> str | None:
        return None if self.link.up else self.link.why or "it has not answered yet"

    async def open(self) -> None:
        await self.link.open(self._patience)
        self.log.start()
        self._task = asyncio.create_task(self._tend(), name="redis uses")

    async def close(self) -> None:
        self._closed = True  # the library may lose a cancellation
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.turns.close()
        await self.log.close()
        await self.link.close()

    def mark(self, key: Key) -> object | None:
        return None if self.drops.behind else self.log.mark(key)

    def used(self, key: Key) -> None:
        self._uses[member(key)] += 1

    def usage(self) -> tuple[int, int]:
        """Entries as they are counted now and then, what expired not at once; bytes of the whole server."""
        return self._usage

    async def load(self, key: Key) -> Sequence[Entry]:
        if self.drops.behind or not self.link.up:
            return ()
        name = member(key)
        try:
            await self.log.look_at_clock()
            fields, indexed = await self.link.ask(
                [("HGETALL", self._names.named(name)), ("ZSCORE", self._names.beside(name), short(name))]
            )
        except LostError:
            return ()
        if not fields or indexed is None or not isinstance(fields, dict):
            return ()
        found = []
        for variant, _ in Shelf.of(fields).variants:
            head, body = fields.get(b"h" + variant), fields.get(b"b" + variant)
            if head is not None and body is not None:
                entry = self._read(head, body, key.primary)
                found += [] if entry is None else [entry]
        if found:
            self.used(key)
        return found

    def _read(self, head: bytes, body: bytes | None, primary: bytes) -> Entry | None:
        try:
            return read(head, body, name=primary, at=self.log.instant())
        except UnreadableError as unreadable:
            self._on_evict(unreadable.reason)
            return None

    async def keep(self, key: Key, entry: Entry, *, asked: float = inf) -> bool:
        if entry.size > self._max_entry_bytes or len(entry.tags) > _MOST_TAGS:
            # What it would have replaced is older than what its caller was just told.
            await self._drop_one(key, entry, 0)
            return False
        try:
            await self._moment()
            if not self.link.up or self.log.forbids(key, entry, asked):
                return False
            *indexed, kept, later = await self.link.ask(*self._keeping(key, entry))
        except LostError:
            return False
        if not isinstance(kept, list) or any(isinstance(reply, Exception) for reply in (*indexed, later)):
            self._on_failure("full")
            await self._drop_one(key, entry, 0)
            return False
        order, was_there, more, gone = kept
        self._count(more)
        for _ in range(gone):
            self._on_evict("variants")
        if order and self.log.forbids(key, entry, asked, later):
            await self._drop_one(key, entry, order)
            return False
        if order and was_there:
            await self._tell(self.log.told(key=key))
        return bool(order)  # 0: a later turn has brought something newer

    def _keeping(self, key: Key, entry: Entry) -> list[list[Command]]:
        """In steps: indexes, shelf, and the question for what was dropped meanwhile."""
        names, name, kept_for = self._names, member(key), self._kept_for(entry)
        tags = [tag_name(tag) for tag in entry.tags]
        indexes = [(names.upstreams, key.upstream), (names.upstream(key.upstream), name)]
        indexes += [(names.tagged(tag), name) for tag in tags]
        head = codec.head(entry, name=key.primary, at=self.log.instant())
        about = json.dumps({"upstream": key.upstream, "target": key.target})
        size = len(head) + len(entry.body)
        keeping: Command = (
            *("EVAL", KEEP, 2, names.named(name), names.beside(name)),
            *(short(name), *field_name(entry), head, entry.body, size, self.turns.number(key.primary)),
            *(kept_for, about, _MOST_VARIANTS, max(4 * self._max_entry_bytes, size), " ".join(tags)),
        )
        indexing: list[Command] = [("EVAL", INDEX, 1, index, one, kept_for) for index, one in indexes]
        return [indexing, [keeping], [self.log.later()]]

    async def drop(self, key: Key) -> int:
        return self._gone(await self.drops.drop(key), "purged")

    async def drop_place(self, place: bytes) -> int:
        return self._gone(await self.drops.drop(Drop(at=await self._moment(), place=place)), "invalidated")

    async def purge(self, what: Purge) -> int:
        meant, trusted = Drop(at=await self._moment(), what=what), not self.drops.evicting
        gone = await self.drops.drop(meant)
        with suppress(LostError):
            if trusted and await self._evicting():
                gone += await self.drops.drop(meant)  # the indexes that it went by were not whole
        return self._gone(gone, "purged")

    async def _moment(self) -> float:
        """Now, by the server's clock."""
        with suppress(LostError):
            if self.link.up:
                await self.log.look_at_clock()
        return self.log.instant().wall

    async def _drop_one(self, key: Key, entry: Entry, order: int) -> None:
        """The variant that this is, where it came in this order; 0 = whenever it came."""
        with suppress(LostError):
            dropping = self.drops.command(member(key), "one", field_name(entry)[0], order)
            gone, _ = await self.link.ask([dropping], [self.log.told(key=key)])
            self._gone(number(gone), "invalidated")

    async def kept(self, what: Purge, limit: int) -> Sequence[Kept]:
        """Of the newest of the first 20,000 keys that its index names."""
        found: dict[str, Shelf] = {}
        tag = None if what.tag is None else tag_name(what.tag)
        result: list[Kept] = []
        with suppress(LostError):
            await self._flush()
            async for members in self.drops.candidates(what):
                for shelf in await self.drops.shelves(members):
                    if what.reaches(shelf.upstream, shelf.target) and shelf.having(tag):
                        found[shelf.name] = shelf
                if len(found) >= _MOST_LISTED:
                    break
            newest = sorted(found.values(), key=lambda shelf: -shelf.came)[:limit]
            for shelf in newest:
                if len(result) >= limit:
                    break
                variants = [variant for variant, _ in shelf.having(tag)]
                asked: Command = (
                    "HMGET",
                    self._names.named(shelf.name),
                    *(b"h" + variant for variant in variants),
                )
                (heads,) = await self.link.ask([asked], patience=PATIENCE)
                result += listed(shelf, zip(variants, heads, strict=True), self._read)
        return result[:limit]

    def _kept_for(self, entry: Entry) -> int:
        """Milliseconds after which it is of no use any more."""
        unsaid = UNSAID_MOST if entry.stale_if_error is None else entry.stale_if_error
        stale = max(entry.stale_while_revalidate, unsaid, _ASKABLE if entry.validators else 0.0)
        return int(1000 * min(_LONGEST, max(0.0, entry.ttl(self._clock.now())) + stale)) + 1000

    def _gone(self, count: int, reason: str) -> int:
        self._count(-count)
        for _ in range(count):
            self._on_evict(reason)
        return count

    def _count(self, more: int) -> None:
        self._usage = (max(0, self._usage[0] + more), self._usage[1])

    # What is done now and then

    async def _tell(self, command: Command) -> None:
        with suppress(LostError):
            await self.link.ask([command])

    async def _tend(self) -> None:
        turns = 0
        while not self._closed:
            await asyncio.sleep(_FLUSHED)
            turns += 1
            with suppress(LostError):
                await self._flush()
                if self.link.up:
                    await self._replay()
                if turns % _REFRESHED == 0 and self.link.up:
                    await self.log.set_clock()
                    await self._refresh()

    async def _flush(self) -> None:
        """Reports uses, the most used first: for listings, and so that Redis keeps what is in use."""
        uses, self._uses = self._uses, Counter()
        named = self._names.named
        commands: list[Command] = [
            ("EVAL", USED, 1, named(name), times) for name, times in uses.most_common(AT_ONCE)
        ]
        if commands:
            await self.link.ask(commands, patience=PATIENCE)

    async def _refresh(self) -> None:
        """The salt, what is kept, and whether anything was evicted. Raises LostError."""
        names, ask = self._names, self.link.directly
        mine = self.salt or token_bytes(_SALT)
        _, salt, upstreams = await ask(
            [("SET", names.salt, mine, "NX")],
            [("GET", names.salt), ("ZRANGE", names.upstreams, 0, -1)],
        )
        if not isinstance(salt, bytes):
            raise LostError("it takes no writes")
        self.salt = salt  # another one where Redis had lost it, and somebody else came first
        await self._evicting()
        told = await self._client.told("memory")
        counts = (
            await ask([("ZCARD", names.upstream(one.decode())) for one in upstreams]) if upstreams else []
        )
        self._usage = sum(counts), sum(int(one.get("used_memory", 0)) for one in told)

    async def _evicting(self) -> bool:
        """Whether Redis has evicted anything so far. Raises LostError."""
        (evicted,) = await self.link.directly([("EXISTS", self._names.evicted)])
        told = await self._client.told("stats")
        if not evicted and any(int(one.get("evicted_keys", 0)) for one in told):
            await self.link.directly([("SET", self._names.evicted, b"1")])
            evicted = 1
        self.drops.evicting = bool(evicted)
        return self.drops.evicting

    async def _replay(self) -> None:
        self._gone(await self.drops.replay(), "purged")
