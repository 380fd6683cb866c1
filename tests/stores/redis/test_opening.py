from dataclasses import replace

from proxy.core.ports import Turn
from proxy.stores import opening
from proxy.stores.opening import Bounds, Telling
from proxy.stores.redis.address import RedisAddress
from proxy.stores.redis.opening import redis_store
from proxy.stores.tier import Tiered
from proxy.wiring import MonotonicClock
from tests.running import free_port
from tests.stores.contract import KEPT, key
from tests.stores.redis.conftest import at
from tests.stores.redis.servers import RedisServer

BOUNDS = Bounds(max_bytes=1 << 20, max_entry_bytes=1 << 16)


async def test_it_has_copies_in_front_turns_and_a_salt(server: RedisServer) -> None:
    evicted: list[str] = []
    telling = Telling(evicted=evicted.append, failed=lambda _store, _reason: None)
    address = replace(at(server), prefix="mine", timeout=10.0)
    opened = await opening.redis(address, BOUNDS, telling, MonotonicClock())
    try:
        assert isinstance(opened.store, Tiered)
        assert (opened.name, opened.trouble, opened.lasting) == ("redis", None, True)
        assert opened.salt == server.ask("GET", "mine:1.1:salt")
        assert opened.turns is not None
        assert opened.changes is not None
        assert await opened.turns.take(b"flight", 0.0) is Turn.MINE
        assert await opened.store.keep(key(), KEPT)
        assert await opened.store.drop(key()) == 1
        assert evicted == ["purged"]
    finally:
        await opened.close()


async def test_where_it_is_not_nothing_is_kept_and_why_is_told() -> None:
    failed: list[tuple[str, str]] = []
    telling = Telling(evicted=lambda _reason: None, failed=lambda *why: failed.append(why))
    nowhere = RedisAddress(hosts=(("127.0.0.1", free_port()),))
    opened = await opening.redis(nowhere, BOUNDS, telling, MonotonicClock())
    try:
        assert opened.salt is None
        assert opened.trouble == "the connection is refused"
        assert ("redis", "unreachable") in failed
        assert not await opened.store.keep(key(), KEPT)
        assert await opened.store.load(key()) == ()
    finally:
        await opened.close()


async def test_it_is_not_opened_by_being_made() -> None:
    nowhere = RedisAddress(hosts=(("127.0.0.1", free_port()),))
    store = redis_store(
        nowhere,
        MonotonicClock(),
        max_entry_bytes=1000,
        on_evict=lambda _reason: None,
        on_failure=lambda _reason: None,
    )
    assert store.trouble == "it has not answered yet"
    await store.close()
