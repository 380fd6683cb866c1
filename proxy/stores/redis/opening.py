"""How does a store in Redis come to run? What belongs together is put together here."""

from __future__ import annotations

from collections.abc import Callable

from proxy.core.ports import Clock
from proxy.stores.redis.address import RedisAddress
from proxy.stores.redis.clients import client
from proxy.stores.redis.store import RedisStore

_LANES = 8  # round trips at a time
_SLOW = 0.2  # of the time for an answer: one that takes longer is worth less than none
_FOLLOWING = 1.0  # seconds for an answer to the question for news, which the server may hold a while


def redis_store(
    address: RedisAddress,
    clock: Clock,
    *,
    max_entry_bytes: int,
    on_evict: Callable[[str], None],
    on_failure: Callable[[str], None],
    boot: str = "",
) -> RedisStore:
    """The store at an address, not opened yet."""
    timeout = address.timeout
    return RedisStore(
        client(address, timeout=timeout, connections=_LANES),
        client(address, timeout=max(_FOLLOWING, timeout), connections=1),
        clock,
        where=str(address),
        prefix=address.prefix,
        max_entry_bytes=min(max_entry_bytes, address.max_entry_bytes),
        on_evict=on_evict,
        on_failure=on_failure,
        boot=boot,
        lanes=_LANES,
        timeout=timeout,
        slow=timeout * _SLOW,
    )
