"""A time ran out: is that the upstream's fault, or its caller's haste?"""

from __future__ import annotations

import asyncio

from proxy.core.failure import ConnectError, DeadlineExceededError
from proxy.core.message import Response
from proxy.core.resilience.breaker import BreakerPolicy
from proxy.core.resilience.queue import QueuePolicy
from proxy.core.resilience.retry import RetryPolicy
from proxy.core.routing import Timeouts
from proxy.upstream.session import Call
from tests.gateway.crowd import Crowd, Upstream, answer, route
from tests.gateway.hours import lived

ONCE = RetryPolicy(attempts=1, budget=None)


class Silent(Upstream):
    """It takes requests and answers none within the time that they have."""

    async def send(self, call: Call) -> Response:
        self.asked.append(asyncio.get_running_loop().time())
        await asyncio.sleep(call.remaining)
        raise DeadlineExceededError(sent=True)


def crowd(upstream: Upstream, total: float = 5.0) -> Crowd:
    return Crowd(
        upstream,
        route(
            retry=ONCE,
            timeouts=Timeouts(attempt=30.0, total=total),
            breaker=BreakerPolicy(min_requests=4),
            concurrency=QueuePolicy(adaptive=True),
        ),
    )


def test_silence_for_the_routes_whole_time_opens_the_circuit() -> None:
    async def life() -> None:
        silent = crowd(Silent(lambda _: answer()))
        for _ in range(4):
            assert (await silent.ask()).what == "deadline_exceeded"
        assert (await silent.ask()).what == "circuit_open"

    lived(life())


def test_a_callers_haste_opens_nothing_and_narrows_nothing() -> None:
    async def life() -> None:
        silent = crowd(Silent(lambda _: answer()))
        for _ in range(40):
            await asyncio.gather(*(silent.ask(("X-Request-Timeout", "0.01")) for _ in range(3)))
        assert silent.resilience.endpoints.circuits() == {"api": 0}
        assert silent.resilience._places["api"].most == 20

    lived(life())


def test_silence_narrows_the_limit_that_adapts() -> None:
    async def life() -> None:
        silent = crowd(Silent(lambda _: answer()))
        await asyncio.gather(*(silent.ask() for _ in range(3)))
        assert silent.resilience._places["api"].most < 20

    lived(life())


def test_a_connection_that_is_refused_at_once_is_no_quick_answer() -> None:
    async def life() -> None:
        dead = crowd(Upstream(lambda _: ConnectError()))
        await dead.ask()
        assert dead.resilience._places["api"]._gradient.usual is None

    lived(life())
