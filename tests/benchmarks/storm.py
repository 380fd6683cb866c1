"""What do retries do to an upstream in trouble, ours and others'?

A simulation: `python -m tests.benchmarks.storm` prints its table.
The same callers ask the same simulated upstreams in simulated time: through Leeward's way out as it runs,
through plain aiohttp-retry, by the rules of urllib3's Retry, and without retries. Nothing here measures
speed; the figures are the same on every machine.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

from aiohttp import ClientSession
from aiohttp_retry import ExponentialRetry, RetryClient

from proxy.core.message import Response
from proxy.core.resilience.breaker import BreakerPolicy
from proxy.core.resilience.queue import QueuePolicy
from proxy.core.resilience.quota import PacePolicy
from proxy.core.resilience.retry import RetryPolicy
from proxy.core.resilience.wait import told
from proxy.core.routing import Timeouts
from proxy.upstream.session import Call
from tests.gateway.crowd import Crowd, Upstream, Window, answer, route
from tests.gateway.hours import lived

CALLERS, RATE, SECONDS = 20, 5.0, 20.0  # 100 calls a second
DEADLINE = 10.0
RETRIES = 3
_STATUSES = {429, 500, 502, 503, 504}
Way = Callable[[Upstream], Awaitable[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What came of one way through one upstream. `seconds` is the 99th percentile of all calls."""

    upstream: str
    way: str
    good: float  # answered calls a second
    amplified: float  # requests upstream for each call
    seconds: float


def upstreams() -> dict[str, Callable[[], Upstream]]:
    """New ones for each way."""

    def flaky() -> Upstream:
        chance = random.Random(1)
        return Upstream(lambda _: answer(503 if chance.random() < 0.2 else 200), latency=0.05)

    return {
        "fails everything": lambda: Upstream(lambda _: answer(503), latency=0.05),
        "down for 10 s of 20": lambda: Upstream(lambda now: answer(503 if now < 1010 else 200), latency=0.05),
        "fails one in five": flaky,
        "takes 10 calls a second": lambda: Upstream(Window(10), latency=0.005),
    }


def ours(upstream: Upstream) -> Way:
    crowd = Crowd(
        upstream,
        route(
            retry=RetryPolicy(attempts=RETRIES + 1),
            breaker=BreakerPolicy(),
            pacing=PacePolicy(),
            concurrency=QueuePolicy(),
            timeouts=Timeouts(total=DEADLINE),
        ),
    )

    async def ask(_: Upstream) -> int:
        what = (await crowd.ask()).what
        return what if isinstance(what, int) else 0

    return ask


class _Session:
    """A session as plain aiohttp-retry sees one."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream

    async def request(self, method: str, url: str, **_: Any) -> Any:
        response = await send(self.upstream)
        return cast("Any", type("Answer", (), {"status": response.status, "method": method, "url": url}))

    async def close(self) -> None: ...


async def send(upstream: Upstream) -> Response:
    return await upstream.send(cast("Call", None))


def plain_aiohttp_retry(upstream: Upstream) -> Way:
    async def ask(_: Upstream) -> int:
        options = ExponentialRetry(attempts=RETRIES + 1, start_timeout=0.2, statuses=_STATUSES)
        client = RetryClient(cast("ClientSession", _Session(upstream)), retry_options=options)
        response = await client.get("http://api.example/")
        return int(response.status)

    return ask


def urllib3_retry(_: Upstream) -> Way:
    """Its rules: `total=3, backoff_factor=0.2`, no jitter, Retry-After kept."""

    async def ask(upstream: Upstream) -> int:
        for number in range(RETRIES + 1):
            response = await send(upstream)
            if response.status not in _STATUSES or number == RETRIES:
                return response.status
            after = told(response.headers, 0.0)
            await asyncio.sleep(after if after is not None else 0.2 * 2**number if number else 0.0)
        raise AssertionError

    return ask


def no_retry(_: Upstream) -> Way:
    async def ask(upstream: Upstream) -> int:
        return (await send(upstream)).status

    return ask


WAYS = {
    "Leeward": ours,
    "aiohttp-retry": plain_aiohttp_retry,
    "urllib3's Retry": urllib3_retry,
    "no retry": no_retry,
}


def simulate(name: str, way: str, *, seconds: float = SECONDS) -> Row:
    async def life() -> Row:
        loop = asyncio.get_running_loop()
        upstream = upstreams()[name]()
        ask = WAYS[way](upstream)
        good = 0
        times: list[float] = []

        async def call() -> None:
            nonlocal good
            began = loop.time()
            try:
                async with asyncio.timeout(DEADLINE + 1):
                    status = await ask(upstream)
            except TimeoutError:
                status = 0
            good += status == 200
            times.append(loop.time() - began)

        async with asyncio.TaskGroup() as group:
            for _ in range(int(CALLERS * RATE * seconds)):
                group.create_task(call())
                await asyncio.sleep(1 / CALLERS / RATE)
        times.sort()
        return Row(
            upstream=name,
            way=way,
            good=good / seconds,
            amplified=len(upstream.asked) / len(times),
            seconds=times[int(len(times) * 0.99) - 1],
        )

    return lived(life())


def table(rows: list[Row]) -> str:
    """As Markdown."""
    lines = [
        "| upstream | through | answered a second | requests for each call | 99 of 100 calls took |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {row.upstream} | {row.way} | {row.good:.1f} | {row.amplified:.2f} | {row.seconds:.2f} s |"
        for row in rows
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(table([simulate(name, way) for name in upstreams() for way in WAYS]) + "\n")
