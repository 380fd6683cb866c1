"""How does a store come to run? What one needs beyond this file is imported only where it is wanted."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from proxy.core.ports import Changes, Clock, Turns
from proxy.core.value import dataclass
from proxy.stores.codec import boot
from proxy.stores.memory import MemoryStore
from proxy.stores.redis.address import RedisAddress
from proxy.stores.tier import Backing, Tiered
from proxy.stores.turns import LocalTurns

_SHARE_IN_FRONT = 8  # of the bytes of what is behind, one part of so many is in front
_TURN = 0.0005  # seconds
_MOST_IN_FRONT = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """In bytes: of everything, and of one entry."""

    max_bytes: int
    max_entry_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """Who is told: of why an entry went, and of what kind of call to which store failed."""

    evicted: Callable[[str], None]
    failed: Callable[[str, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A store that runs. `name` is a word for metrics.

    `turns` and `changes` are those of all processes that share it, where it has them.
    """

    name: str
    store: MemoryStore | Tiered
    turns: Turns | None = None
    changes: Changes | None = None

    @property
    def salt(self) -> bytes | None:
        """What names have to be digested with; None where the store does not say, or not yet."""
        return self.store.behind.salt if isinstance(self.store, Tiered) else None

    @property
    def trouble(self) -> str | None:
        """What is wrong with it now, in words without secrets."""
        return self.store.behind.trouble if isinstance(self.store, Tiered) else None

    @property
    def lasting(self) -> bool:
        """Whether others share it, now or later, and so its salt."""
        return isinstance(self.store, Tiered)

    async def close(self) -> None:
        if isinstance(self.store, Tiered):
            await self.store.behind.close()


def memory(bounds: Bounds, telling: Telling) -> Opened:
    """In this process alone."""
    store = MemoryStore(
        max_bytes=bounds.max_bytes, max_entry_bytes=bounds.max_entry_bytes, on_evict=telling.evicted
    )
    return Opened(name="memory", store=store)


async def disk(path: Path, bounds: Bounds, telling: Telling, clock: Clock, *, name: str = "disk") -> Opened:
    """In a folder, for all processes that open it. Where it cannot be opened, that is tried again later.

    A folder in memory (tmpfs) makes it a memory that processes share; `name` may say so.
    """
    from proxy.stores.disk import DiskStore  # noqa: PLC0415 - see above

    # A thread that writes gives the interpreter up at every step, and under load waits this long to get it
    # back; a loop waits as long for a thread.
    sys.setswitchinterval(_TURN)
    store = DiskStore(
        path,
        max_bytes=bounds.max_bytes,
        max_entry_bytes=bounds.max_entry_bytes,
        clock=clock,
        on_evict=telling.evicted,
        on_failure=lambda reason: telling.failed(name, reason),
    )
    opened = await behind(store, bounds, name=name)
    turns = await asyncio.to_thread(_turns, path)
    return replace(opened, turns=turns, changes=turns)


def _turns(folder: Path) -> LocalTurns | None:
    """Where there is no folder, each fetches for itself."""
    try:
        return LocalTurns(folder / "turns")
    except OSError:
        return None


async def redis(address: RedisAddress, bounds: Bounds, telling: Telling, clock: Clock) -> Opened:
    """In a Redis, for all processes that name it. It has a bound of its own; `max_bytes` is for copies here.

    Where it does not answer, that is tried again.
    """
    from proxy.stores.redis.opening import redis_store  # noqa: PLC0415 - see above

    store = redis_store(
        address,
        clock,
        max_entry_bytes=bounds.max_entry_bytes,
        on_evict=telling.evicted,
        on_failure=lambda reason: telling.failed("redis", reason),
        boot=await asyncio.to_thread(boot),
    )
    opened = await behind(store, bounds, name="redis")
    return replace(opened, turns=store.turns, changes=store.log)


async def behind(store: Backing, bounds: Bounds, *, name: str) -> Opened:
    """Opens a store outside this process, with copies in memory in front of it."""
    await store.open()
    front = min(bounds.max_bytes // _SHARE_IN_FRONT, _MOST_IN_FRONT)
    return Opened(name=name, store=Tiered(store, max_bytes=front))
