"""Does a slow, dead or hanging Redis cost next to nothing, and is it used again by itself?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from proxy.core.resilience.breaker import BreakerPolicy
from proxy.stores.health import Health
from proxy.stores.redis.clients import LostError, client
from proxy.stores.redis.link import Link
from proxy.wiring import MonotonicClock
from tests.stores.redis.conftest import at, until
from tests.stores.redis.servers import RedisServer, Relay

QUICK: dict[str, Any] = {
    "timeout": 0.2,
    "slow": 0.1,
    "policy": BreakerPolicy(min_requests=3, window=10.0, open_for=0.05),
}
Start = Callable[..., Awaitable[Link]]


class Scripted:
    """A client that answers as it is told, for what no real server does at will."""

    def __init__(self) -> None:
        self.fail = ""
        self.seconds = 0.0
        self.batches: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def run(self, commands: Any) -> list[Any]:
        await self.gate.wait()
        await asyncio.sleep(self.seconds)
        if self.fail:
            raise LostError(self.fail)
        self.batches.append(len(commands))
        return list(range(len(commands)))

    async def together(self, steps: Any) -> list[Any]:
        return await self.run([command for step in steps for command in step])

    async def close(self) -> None:
        self.fail = "closed"


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    links: list[Link] = []

    async def start(to: Any, **options: Any) -> Link:
        options = QUICK | options
        if isinstance(to, RedisServer | Relay):
            to = client(at(to), timeout=options["timeout"], connections=options.get("lanes", 8))
        link = Link(to, MonotonicClock(), health=Health("a test"), **options)
        links.append(link)
        await link.open(1.0)
        return link

    yield start
    for link in links:
        await link.close()


async def test_replies_come_to_those_who_asked(server: RedisServer, start: Start) -> None:
    link = await start(server, timeout=10.0, slow=10.0)
    assert link.up
    replies = await asyncio.gather(*(link.ask([("ECHO", f"{n}")], [("ECHO", f"{-n}")]) for n in range(300)))
    assert replies == [[b"%d" % n, b"%d" % -n] for n in range(300)]
    refused, fine = await link.ask([("NONSENSE",), ("PING",)])
    assert isinstance(refused, Exception)
    assert fine
    assert link.up, "a question that is refused says nothing about the server"


async def test_calls_at_a_time_have_a_bound_and_share_round_trips(start: Start) -> None:
    told = Scripted()
    link = await start(told, lanes=2, timeout=10.0, slow=10.0)
    told.gate.clear()
    told.batches.clear()
    asked = [asyncio.create_task(link.ask([("GET", n)])) for n in range(66)]
    await asyncio.sleep(0)
    told.gate.set()
    assert all(len(replies) == 1 for replies in await asyncio.gather(*asked))
    assert sum(told.batches) == 66
    assert len(told.batches) <= 4


async def test_one_that_leaves_takes_no_other_with_it(start: Start) -> None:
    told = Scripted()
    link = await start(told, lanes=1, timeout=10.0, slow=10.0)
    told.gate.clear()
    leaves, stays = (asyncio.create_task(link.ask([("GET", n)])) for n in range(2))
    await asyncio.sleep(0.01)
    leaves.cancel()
    told.gate.set()
    assert await stays
    assert await link.ask([("GET", 3)])


async def test_too_many_waiting_calls_are_refused_at_once(start: Start) -> None:
    told = Scripted()
    link = await start(told, lanes=1, timeout=10.0, slow=10.0)
    told.gate.clear()
    asked = [asyncio.create_task(link.ask([("GET", n)])) for n in range(2100)]
    await asyncio.sleep(0.05)
    refused = [task for task in asked if task.done()]
    assert len(refused) >= 60
    assert all(isinstance(task.exception(), LostError) for task in refused)
    told.gate.set()
    await asyncio.gather(*asked, return_exceptions=True)


async def test_a_slow_one_counts_as_lost(start: Start) -> None:
    told = Scripted()
    link = await start(told, timeout=10.0)
    told.seconds = 0.15  # in time, but later than it is worth
    for _ in range(3):
        assert await link.ask([("PING",)])
    assert not link.up
    with pytest.raises(LostError, match="too slowly"):
        await link.ask([("PING",)])
    told.seconds = 0.0
    await until(lambda: link.up)


async def test_what_has_to_be_caught_up_with_comes_first(start: Start) -> None:
    told, done = Scripted(), []
    link = await start(told)
    trouble = ["it broke off again", "", ""]

    async def catch_up() -> None:
        assert not link.up
        done.append(await link.directly([("PING",)]))
        if why := trouble.pop(0):
            raise LostError(why)

    link.caught_up.append(catch_up)
    told.fail = "it is gone"
    for _ in range(3):
        with pytest.raises(LostError):
            await link.ask([("PING",)])
    assert not link.up
    told.fail = ""
    await until(lambda: link.up)
    assert len(done) == 2
    assert link.why == ""


async def test_a_server_that_is_not_there_at_the_start(folder: Any, start: Start) -> None:
    server = RedisServer(folder)
    server.stop()
    link = await start(server)
    assert not link.up
    assert link.why == "the connection is refused"
    server.start()
    try:
        await until(lambda: link.up)
        assert await link.ask([("PING",)])
    finally:
        server.stop()


@pytest.mark.parametrize("hurt", ["pause", "kill", "cut"])
async def test_a_lost_server_costs_nothing_and_comes_back(folder: Any, start: Start, hurt: str) -> None:
    server = RedisServer(folder)
    relay = Relay(server.port)
    try:
        link = await start(relay)
        await until(lambda: link.up)
        {"pause": server.pause, "kill": server.kill, "cut": relay.cut}[hurt]()
        for _ in range(30):
            if not link.up:
                break
            with pytest.raises(LostError):
                await link.ask([("PING",)])
        assert not link.up
        took = []
        for _ in range(200):
            began = time.monotonic()
            with pytest.raises(LostError):
                await link.ask([("PING",)])
            took.append(time.monotonic() - began)
        assert sorted(took)[100] < 0.005
        {"pause": server.resume, "kill": server.start, "cut": relay.mend}[hurt]()
        await until(lambda: link.up)
        assert await link.ask([("PING",)])
    finally:
        relay.stop()
        server.stop()


async def test_nobody_needs_to_ask_for_it_to_be_found_lost(folder: Any, start: Start) -> None:
    server = RedisServer(folder)
    try:
        link = await start(server, policy=BreakerPolicy(min_requests=1, window=10.0, open_for=0.05))
        server.kill()
        await until(lambda: not link.up)
        assert link.why
    finally:
        server.stop()
