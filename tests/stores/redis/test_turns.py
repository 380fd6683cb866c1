"""Does one process of many fetch, and does nobody wait for one that is gone?"""

from __future__ import annotations

import asyncio

from proxy.core.ports import Turn
from proxy.stores.redis.turns import RedisTurns
from proxy.wiring import MonotonicClock
from tests.stores.contract import KEPT, key
from tests.stores.redis.conftest import Open, at, until
from tests.stores.redis.servers import RedisServer

NAME = key().primary + b"variant"


async def several(opened: Open, server: RedisServer, count: int) -> list[RedisTurns]:
    return [(await opened(at(server), clock=MonotonicClock())).store.turns for _ in range(count)]


async def test_one_fetches_and_the_others_look_when_it_has_ended(server: RedisServer, opened: Open) -> None:
    one, two, three = await several(opened, server, 3)
    assert await one.take(NAME, 0.0) is Turn.MINE
    waiting = [asyncio.create_task(turns.take(NAME, 30.0)) for turns in (two, three)]
    await asyncio.sleep(0.05)
    assert not any(task.done() for task in waiting)
    one.end(NAME, shared=True)
    # One of those who waited has the next turn, and looks into the store first.
    done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    assert Turn.MINE in {task.result() for task in done}
    for turns in (two, three):
        turns.end(NAME, shared=True)
    assert {await task for task in waiting} <= {Turn.MINE, Turn.OVER}


async def test_what_cannot_be_shared_is_waited_for_by_nobody(server: RedisServer, opened: Open) -> None:
    one, two, three = await several(opened, server, 3)
    assert await one.take(NAME, 0.0) is Turn.MINE
    waiting = asyncio.create_task(two.take(NAME, 30.0))
    await asyncio.sleep(0.02)
    one.end(NAME, shared=False)
    assert await waiting is Turn.ALONE
    assert await three.take(NAME, 30.0) is Turn.ALONE


async def test_patience_ends(server: RedisServer, opened: Open) -> None:
    one, two = await several(opened, server, 2)
    assert await one.take(NAME, 0.0) is Turn.MINE
    assert await two.take(NAME, 0.05) is Turn.ALONE
    assert await two.take(b"another", 0.05) is Turn.MINE


async def test_who_lives_keeps_its_turn_and_who_is_gone_loses_it(server: RedisServer, opened: Open) -> None:
    one, two = await several(opened, server, 2)
    assert await one.take(NAME, 0.0) is Turn.MINE
    where = one._names.turn(NAME)
    server.ask("PEXPIRE", where, 1000)
    await until(lambda: server.ask("PTTL", where) > 1000)
    assert one._renewing is not None
    one._renewing.cancel()  # as if its process had died
    server.ask("PEXPIRE", where, 50)
    assert await two.take(NAME, 30.0) is Turn.MINE
    one.end(NAME, shared=True)
    await asyncio.gather(*one._tasks)
    assert server.ask("EXISTS", where) == 1, "nobody ends the turn of another"


async def test_what_comes_too_late_replaces_nothing(server: RedisServer, opened: Open) -> None:
    late, next_ = (await opened(at(server))).store, (await opened(at(server))).store
    assert await late.turns.take(NAME, 0.0) is Turn.MINE
    server.ask("DEL", late.turns._names.turn(NAME))  # it hung for longer than its lease
    await asyncio.sleep(0.005)
    assert await next_.turns.take(NAME, 0.0) is Turn.MINE
    assert late.turns.number(key().primary) < next_.turns.number(key().primary)
    assert next_.turns.number(key("/b").primary) == 0
    assert await next_.keep(key(), KEPT.holding(b"newer"))
    assert not await late.keep(key(), KEPT.holding(b"older"))
    assert [entry.body for entry in await late.load(key())] == [b"newer"]


async def test_a_caller_that_leaves_leaves_no_turn_behind(server: RedisServer, opened: Open) -> None:
    one, two = await several(opened, server, 2)
    task = asyncio.create_task(one.take(NAME, 30.0))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await two.take(NAME, 1.0) is Turn.MINE


async def test_without_redis_everybody_is_alone(folder, opened: Open) -> None:
    server = RedisServer(folder)
    try:
        (one,) = await several(opened, server, 1)
        assert await one.take(NAME, 0.0) is Turn.MINE
        server.kill()
        assert await one.take(b"another", 30.0) is Turn.ALONE
        one.end(NAME, shared=True)
    finally:
        server.stop()
