"""Does every process hear of what any changes, soon and without a gap?"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from proxy.core.caching.purge import Purge
from proxy.stores.redis.log import Drop
from proxy.stores.redis.store import RedisStore
from proxy.wiring import MonotonicClock
from tests.stores.contract import KEPT, key
from tests.stores.redis.conftest import Open, at, until
from tests.stores.redis.servers import RedisServer, Relay

RED = replace(KEPT, tags=("red",))


async def pair(opened: Open, *servers: Any, **options: Any) -> list[RedisStore]:
    stores = [(await opened(at(server), clock=MonotonicClock(), **options)).store for server in servers]
    for store in stores:
        await until(partial(differs, store, None))
    return stores


def differs(store: RedisStore, mark: object) -> bool:
    return store.mark(key()) != mark


async def changed(one: RedisStore, what: str) -> None:
    match what:
        case "place":
            await one.drop_place(key().place)
        case "key":
            await one.drop(key())
        case "newer":
            await one.keep(key(), fresh(MonotonicClock()))
        case "tag":
            await one.purge(Purge(tag="red"))
        case "path":
            await one.purge(Purge(path="/a"))
        case _:
            await one.purge(Purge())


def fresh(clock: MonotonicClock) -> Any:
    return replace(RED, received=clock.now())


@pytest.mark.parametrize("what", ["place", "key", "all", "tag", "path", "newer"])
async def test_a_copy_is_not_used_100_ms_after_a_change_elsewhere(
    server: RedisServer, opened: Open, what: str
) -> None:
    one, two = await pair(opened, server, server)
    took = []
    for _ in range(5):
        await two.keep(key(), fresh(MonotonicClock()))
        assert await two.load(key())
        mark = two.mark(key())
        began = time.monotonic()
        await changed(one, what)
        await until(partial(differs, two, mark))
        took.append(time.monotonic() - began)
    assert sorted(took)[2] < 0.1


async def test_what_is_new_disturbs_no_copy_of_something_else(server: RedisServer, opened: Open) -> None:
    one, two = await pair(opened, server, server)
    mark = two.mark(key())
    await one.keep(key("/b"), fresh(MonotonicClock()))
    await one.keep(key("/c"), fresh(MonotonicClock()))
    await one.drop_place(key("/c").place)
    seen = two.log.seen(key("/c").place)
    await until(lambda: two.log.seen(key("/c").place) == seen)
    assert two.mark(key()) == mark
    assert two.mark(key()) is not None


async def test_own_changes_are_known_at_once(server: RedisServer, opened: Open) -> None:
    (one,) = await pair(opened, server)
    before = one.mark(key()), one.log.seen(key().place)
    await one.drop_place(key().place)
    assert one.mark(key()) != before[0]
    assert one.log.seen(key().place) != before[1]
    seen = one.log.seen(key().place)
    one.log.note(key().place)
    assert one.log.seen(key().place) != seen


async def test_nobody_vouches_for_a_copy_while_the_link_is_lost(server: RedisServer, opened: Open) -> None:
    relay = Relay(server.port)
    try:
        one, cut = await pair(opened, server, relay, timeout=0.2, slow=0.1)
        await one.keep(key(), fresh(MonotonicClock()))
        mark = cut.mark(key())
        relay.cut()
        await until(lambda: cut.mark(key()) is None)
        await one.drop_place(key().place)
        relay.mend()
        await until(lambda: cut.mark(key()) is not None)
        assert cut.mark(key()) != mark, "what was missed is made up for before"
        assert not cut.log.forbids(key(), RED, MonotonicClock().now())
    finally:
        relay.stop()


async def test_a_log_that_was_cut_short_counts_as_a_change_of_everything(
    server: RedisServer, opened: Open
) -> None:
    (one,) = await pair(opened, server)
    await one.drop_place(key("/other").place)
    await until(lambda: one.log._drops_at != "0-0")
    asked, mark, seen = MonotonicClock().now(), one.mark(key()), one.log.seen(key().place)
    assert not one.log.forbids(key(), RED, asked)
    server.ask("FLUSHALL")
    await one.log.catch_up()
    assert one.mark(key()) != mark
    assert one.log.seen(key().place) != seen
    assert one.log.forbids(key(), RED, asked), "nobody knows what was dropped meanwhile"
    assert not one.log.forbids(key(), RED, MonotonicClock().now() + 1)


async def test_a_log_that_is_cut_short_while_it_is_followed_does_too(
    server: RedisServer, opened: Open
) -> None:
    (one,) = await pair(opened, server)
    await one.drop_place(key("/other").place)
    await until(lambda: one.log._news_at != "0-0")
    mark, seen = one.mark(key()), one.log.seen(key().place)
    with server.client() as client, client.pipeline(transaction=True) as pipe:
        pipe.delete(one._names.news)
        pipe.xadd(one._names.news, {"o": "another", "k": b"of-another-key"})
        pipe.execute()
    await until(lambda: one.log.seen(key().place) != seen)
    await until(lambda: one.mark(key()) not in (mark, None))


async def test_what_is_dropped_while_it_is_being_kept_does_not_stay(
    server: RedisServer, opened: Open
) -> None:
    """Between the two looks of who keeps: the drop's word is there before anything is looked for."""
    one, two = await pair(opened, server, server)
    clock = MonotonicClock()
    asked = clock.now()
    steps = one._keeping(key(), fresh(clock))
    await two.log._link.ask([two.log.dropping(Drop(at=two.log.instant().wall, place=key().place))])
    *_, kept, later = await one.link.ask(*steps)
    assert kept[0] == 1
    assert one.log.forbids(key(), RED, asked, later)
    assert not await one.keep(key(), fresh(clock), asked=asked)
    assert await one.keep(key(), fresh(clock), asked=clock.now())


async def test_a_drop_means_its_place_or_what_the_purge_means() -> None:
    assert Drop(at=1.0, place=key().place).means(key(), RED)
    assert not Drop(at=1.0, place=key("/b").place).means(key(), RED)
    assert Drop(at=1.0, what=Purge(tag="red", path="/*")).means(key(), RED)
    assert not Drop(at=1.0, what=Purge(tag="red", path="/b")).means(key(), RED)
    assert not Drop(at=1.0, what=Purge(tag="blue")).means(key(), RED)


async def test_the_time_is_the_servers(server: RedisServer, opened: Open) -> None:
    class Ahead(MonotonicClock):
        def wall(self) -> float:
            return super().wall() + 3600

    one = (await opened(at(server), clock=Ahead())).store
    told = server.ask("TIME")
    assert abs(one.log.instant().wall - told[0]) < 5


async def test_a_clock_that_was_just_set_makes_nothing_younger_on_another_machine(
    server: RedisServer, opened: Open
) -> None:
    one, two = [await opened(at(server), boot=boot) for boot in ("one", "two")]
    one.clock.ahead += 3600
    two.clock.ahead -= 3600
    assert await one.store.keep(key(), KEPT)
    for later in (0.0, 30.0):
        for given in (one, two):
            given.clock.time += later
        (found,) = await two.store.load(key())
        assert abs(found.age(two.clock.now()) - later) < 5
