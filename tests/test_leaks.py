"""Is anything left after ten thousand requests that failed in every way?"""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from proxy.core.resilience.breaker import BreakerPolicy
from proxy.core.resilience.queue import Line, QueuePolicy
from proxy.core.routing import Origin as Base
from proxy.gateway.resilience import Resilience
from proxy.upstream.attempts import Attempts
from proxy.upstream.session import Session
from tests.core.caching.samples import SECRET
from tests.origin import Gate, Origin, closed_port
from tests.upstream.conftest import HEAD, OK, Steady, Way

REQUESTS = 10_000
TOGETHER = 40

# What the origin does, by target.
KINDS: dict[str, tuple[tuple[bytes | Gate, ...], str]] = {
    "/500": ((b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno",), "keep"),
    "/503": ((b"HTTP/1.1 503 No\r\nRetry-After: 0\r\nContent-Length: 2\r\n\r\nno",), "keep"),
    "/404": ((b"HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno",), "keep"),
    "/429": ((b"HTTP/1.1 429 No\r\nContent-Length: 2\r\n\r\nno",), "keep"),
    "/dropped": ((b"",), "close"),
    "/reset": ((HEAD,), "reset"),
    "/nonsense": ((b"nonsense\r\n\r\n",), "close"),
    "/cut": ((HEAD + b"Content-Length: 900\r\n\r\nx",), "close"),
    "/ok": ((OK,), "keep"),
}
HELD = b"HTTP/1.1 429 No\r\nRetry-After: 0.001\r\nContent-Length: 2\r\n\r\nno"


def files() -> int:
    """Open files of this process, the origin's end of each connection included."""
    return len(list(Path("/dev/fd").iterdir()))


def futures(loop: asyncio.AbstractEventLoop) -> int:
    """Those that nobody has resolved yet."""
    gc.collect()
    found = [thing for thing in gc.get_objects() if isinstance(thing, asyncio.Future)]
    return sum(1 for future in found if future.get_loop() is loop and not future.done())


async def at_most(count: Callable[[], int], most: int) -> bool:
    """Whether it comes down to so many: the origin's threads close their ends when ours are closed."""
    for _ in range(1000):
        if count() <= most:
            return True
        await asyncio.sleep(0.01)
    return False


async def test_nothing_is_left_after_ten_thousand_failing_requests(origin: Origin) -> None:
    session = Session()
    way = Way(origin, session)
    resilience = Resilience(clock=Steady(), secret=SECRET)
    attempts = way.attempts = Attempts(
        session=session, clock=Steady(), chance=random.Random(1).random, restraint=resilience
    )
    for target, (parts, then) in KINDS.items():
        origin.on(target).raw(*parts, then=then)  # type: ignore[arg-type]  # a word of End
    dead = Base(scheme="http", host="127.0.0.1", port=closed_port())
    base: dict[str, Any] = {
        "retry": {"attempts": 2, "initial": 0, "max_wait": 0},
        "timeouts": {"total": 20},
        "breaker": BreakerPolicy(failure_ratio=1.0, open_for=0.01),
        "concurrency": QueuePolicy(most=20, most_waiting=30),
    }
    routes = [
        way.changed(**base),
        replace(way.changed(**base), name="several", origins=(dead, *way.route.origins)),
        replace(way.changed(**base), name="dead", origins=(dead,)),
    ]
    held = replace(way.changed(**base), name="held")
    origin.on("/held").raw(HELD)
    loop = asyncio.get_running_loop()
    targets, chance = [*KINDS], random.Random(2)
    outcomes: set[str] = set()

    async def ask(number: int) -> None:
        target = targets[number % len(targets)]
        way.route = routes[number % 7 % 3]
        if number % 500 == 0:
            way.route, target = held, "/held"
        method = "POST" if number % 5 == 0 else "GET"
        asking = asyncio.ensure_future(way.ask(method, target, body=b"body"))
        if number % 11 == 0:  # a caller that leaves
            await asyncio.sleep(chance.random() * 0.01)
            asking.cancel()
        try:
            got = await asking
        except asyncio.CancelledError:
            outcomes.add("left")
            return
        outcomes.add(str(got.status) if got.failure is None else got.failure.code)

    async def caller(first: int, count: int) -> None:
        for number in range(first, first + count):
            await ask(number)

    await caller(0, 50)  # what is made once is there from here on
    await session.close()
    await asyncio.sleep(0.1)  # the origin's ends go as well
    before, open_before = (len(asyncio.all_tasks()), futures(loop)), files()
    session = way.session = attempts.session = Session()
    share = REQUESTS // TOGETHER
    await asyncio.gather(*(caller(n * share, share) for n in range(TOGETHER)))
    assert session.counts()[0] == 0, "a connection is still in use"
    kept = session.counts()[1]
    await session.close()
    await asyncio.sleep(0)
    assert (len(asyncio.all_tasks()), futures(loop)) == before
    assert kept <= TOGETHER * 2
    assert session.counts() == (0, 0)
    for places in resilience._places.values():
        assert places.line == Line()
        assert places._waiting == {}
    gates = resilience._gates
    assert gates._waiting == gates._timers == gates._called == {}
    assert {"500", "503", "404", "200", "left", "connect_failed", "bad_upstream_response"} <= outcomes
    assert origin.count() >= REQUESTS / 4
    assert await at_most(files, open_before), f"{files()} files are open, {open_before} were before"


def test_open_files_can_be_counted() -> None:
    before = files()
    with Path(__file__).open():
        assert files() == before + 1
