"""Does everything go that was meant, also when Redis was away or has let indexes go?"""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.core.caching.purge import Purge
from proxy.stores.redis.drops import number
from tests.stores.contract import KEPT, key, tagged, targets
from tests.stores.redis.conftest import Open, at, until
from tests.stores.redis.servers import RedisServer, Relay


@pytest.mark.parametrize(
    ("what", "left"),
    [
        (Purge(), []),
        (Purge(tag="red"), ["/b"]),
        (Purge(path="/a"), ["/b"]),
        (Purge(upstream="api"), []),
        (Purge(upstream="other"), ["/a", "/b"]),
    ],
    ids=repr,
)
async def test_what_redis_has_let_go_of_hides_nothing(
    server: RedisServer, opened: Open, what: Purge, left: list[str]
) -> None:
    store = (await opened(at(server))).store
    await tagged(store, "/a", "red")
    await tagged(store, "/b", "blue")
    store.drops.evicting = True
    for name in server.names("leeward:*"):
        if ":in:" in name or ":tag:" in name or name.endswith("upstreams"):
            server.ask("DEL", name)
    assert await targets(store) == ["/a", "/b"]
    assert await store.purge(what) == 2 - len(left)
    assert await targets(store) == left


async def test_evictions_are_noticed_and_not_forgotten(folder, opened: Open) -> None:
    server = RedisServer(folder, maxmemory="3mb", maxmemory_policy="allkeys-lru")
    try:
        store = (await opened(at(server))).store
        for count in range(400):
            await store.keep(key(f"/{count}"), replace(KEPT, body=b"b" * 10_000, tags=(f"tag-{count}",)))
        assert server.ask("INFO", "stats")["evicted_keys"] > 0
        await store._refresh()
        assert store.drops.evicting
        server.ask("CONFIG", "RESETSTAT")
        again = (await opened(at(server))).store
        assert again.drops.evicting
        server.ask("CONFIG", "SET", "maxmemory", 0)
        left = await targets(store)
        assert left
        assert await store.purge(Purge()) == len(left)
        assert await targets(again) == []
    finally:
        server.stop()


async def test_an_eviction_of_this_moment_hides_nothing_from_a_purge(folder, opened: Open) -> None:
    server = RedisServer(folder, maxmemory="6mb", maxmemory_policy="allkeys-random")
    try:
        store = (await opened(at(server))).store
        red, wheres = (
            replace(KEPT, body=b"b" * 6000, tags=("red",)),
            [key(f"/{count}") for count in range(900)],
        )
        for where in wheres:
            await store.keep(where, red)
        server.ask("CONFIG", "SET", "maxmemory", 0)
        # As an eviction may have it: the rest is hard to hit by chance.
        server.ask("DEL", store._names.tag("red"))
        assert not store.drops.evicting
        left = [where for where in wheres if await store.load(where)]
        assert left
        assert await store.purge(Purge(tag="red")) >= len(left)
        assert [where for where in wheres if await store.load(where)] == []
    finally:
        server.stop()


async def test_what_could_not_be_dropped_is_not_served_meanwhile(server: RedisServer, opened: Open) -> None:
    """One call that was cut off does not make the link count as lost."""
    relay = Relay(server.port)
    try:
        other = (await opened(at(server))).store
        cut = (await opened(at(relay), timeout=0.5)).store
        for target in ("/purged", "/stays"):
            await other.keep(key(target), KEPT)
        await until(lambda: cut.mark(key("/stays")) is not None)
        relay.cut()
        assert await cut.purge(Purge(path="/purged")) == 0
        relay.mend()
        assert cut.link.up
        assert cut.mark(key("/purged")) is None
        assert await cut.load(key("/purged")) == ()
        await until(lambda: not cut.drops.behind)
        assert await targets(other) == ["/stays"]
        assert await cut.load(key("/stays"))
    finally:
        relay.stop()


async def test_what_a_lagging_replica_brings_back_goes_again(folder, opened: Open) -> None:
    primary = RedisServer(folder)
    replica = RedisServer(folder, replicaof=f"127.0.0.1 {primary.port}")
    relay = Relay(primary.port)
    try:
        stores = [(await opened(at(relay))).store for _ in range(2)]
        one, two = stores
        for target in ("/purged", "/changed", "/stays"):
            await one.keep(key(target), KEPT)
        await one.drop_place(key("/other").place)
        await until(lambda: replica.ask("XLEN", one._names.news) == primary.ask("XLEN", one._names.news) > 0)
        replica.ask("REPLICAOF", "NO", "ONE")  # from now on it hears of nothing
        assert await one.purge(Purge(path="/purged")) == 1
        assert await one.drop_place(key("/changed").place) == 1
        await until(lambda: len(two.log._recent) == 3)
        primary.kill()
        relay.turn(replica.port)
        await until(lambda: replica.ask("HLEN", one._names.shelf(key("/purged"))) == 0)
        await until(lambda: not any(store.drops.behind or not store.link.up for store in stores))
        assert [await two.load(key(target)) for target in ("/purged", "/changed")] == [(), ()]
        assert await two.load(key("/stays"))
    finally:
        relay.stop()
        replica.stop()
        primary.stop()


async def test_what_is_not_in_its_places_index_is_not_read(server: RedisServer, opened: Open) -> None:
    store = (await opened(at(server))).store
    await store.keep(key(), KEPT)
    server.ask("DEL", store._names.place(key().place))
    assert await store.load(key()) == ()
    assert await store.keep(key(), KEPT)
    assert await store.load(key())


async def test_what_could_not_be_dropped_goes_before_redis_is_used_again(
    server: RedisServer, opened: Open
) -> None:
    relay = Relay(server.port)
    try:
        other = (await opened(at(server))).store
        cut = (await opened(at(relay), timeout=0.2, slow=0.1)).store
        for target in ("/place", "/key", "/purged", "/stays"):
            await other.keep(key(target), KEPT)
        relay.cut()
        assert await cut.drop_place(key("/place").place) == 0
        assert await cut.purge(Purge(path="/purged")) == 0
        assert await cut.drop(key("/key")) == 0
        await until(lambda: not cut.link.up)
        assert await targets(other) == ["/key", "/place", "/purged", "/stays"]
        relay.mend()
        cut._clock.time += 10  # the breaker's clock is turned by hand
        await until(lambda: cut.link.up)
        assert await targets(other) == ["/stays"]
        assert other.trouble is None
    finally:
        relay.stop()


async def test_beyond_what_is_remembered_everything_goes(folder, opened: Open) -> None:
    server = RedisServer(folder)
    try:
        store = (await opened(at(server))).store
        await store.keep(key("/stays"), KEPT)
        server.kill()
        for count in range(1002):
            await store.drop_place(key(f"/{count}").place)
        assert store.drops._missed[0].what == Purge()
        assert len(store.drops._missed) <= 2
    finally:
        server.stop()


async def test_a_full_redis_keeps_nothing_more_and_still_drops(folder, opened: Open) -> None:
    server = RedisServer(folder, maxmemory_policy="noeviction")
    try:
        failures: list[str] = []
        store = (await opened(at(server), on_failure=failures.append)).store
        for target in ("/a", "/b"):
            await store.keep(key(target), KEPT)
        server.ask("CONFIG", "SET", "maxmemory", 1)
        assert not await store.keep(key("/c"), KEPT)
        assert failures == ["full"]
        assert store.trouble is None
        assert await store.load(key("/a"))
        assert await store.drop_place(key("/a").place) == 1
        assert await store.load(key("/a")) == ()
        assert store.drops._missed, "the others have not been told"
        server.ask("CONFIG", "SET", "maxmemory", 0)
        await until(lambda: not store.drops._missed)
        assert await store.keep(key("/c"), KEPT)
    finally:
        server.stop()


async def test_many_go_in_slices(server: RedisServer, opened: Open) -> None:
    store = (await opened(at(server))).store
    for count in range(450):
        await store.keep(key(f"/{count}"), KEPT)
    assert await store.purge(Purge(path="/1*")) == 111
    assert await store.purge(Purge()) == 339
    assert [name for name in server.names("leeward:*") if "}:" in name and "{log}" not in name] == []


def test_a_refusal_counts_nothing() -> None:
    assert number(RuntimeError()) == 0
    assert number(3) == 3
