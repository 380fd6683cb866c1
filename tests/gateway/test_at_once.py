"""Does an attempt go without waiting only where the long way would let it go at that moment?"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from proxy.core.resilience.breaker import BreakerPolicy
from proxy.core.resilience.limit import RatePolicy
from proxy.core.resilience.queue import QueuePolicy
from proxy.core.resilience.quota import PacePolicy
from proxy.core.resilience.retry import RetryPolicy
from tests.core.caching.samples import Named, request
from tests.gateway.crowd import Crowd, Upstream, answer, route
from tests.gateway.hours import lived

ONCE = RetryPolicy(attempts=1, budget=None)


def crowd(*script: Any, **changed: Any) -> Crowd:
    left = list(script)
    return Crowd(Upstream(lambda _: left.pop(0) if left else answer()), route(retry=ONCE, **changed))


def goes(one: Crowd, *fields: tuple[str, str]) -> bool:
    """Whether one goes, which ends well."""
    permit = one.resilience.at_once(request(*fields), one.route)
    if permit is not None:
        permit.well(200, None)
    return permit is not None


def test_nothing_is_in_the_way_of_a_plain_route() -> None:
    async def life() -> None:
        one = crowd()
        assert goes(one)
        assert one.resilience.endpoints.circuits() == {"api": 0}
        permit = one.resilience.at_once(request(), one.route)
        assert permit is not None
        assert (permit.origin, permit.place, permit.paced, permit.began) == (
            one.route.origins[0],
            None,
            False,
            one.clock.now(),
        )

    lived(life())


def test_a_gate_that_is_shut_is_waited_for() -> None:
    async def life() -> None:
        one = crowd(answer(429, ("Retry-After", "4")))
        await one.ask()
        assert not goes(one)
        other = replace(one, route=replace(one.route, injector=Named("another")))
        other.resilience = one.resilience
        assert goes(other), "it was said of another credential"
        await asyncio.sleep(4)
        assert not goes(one), "the first behind it is a try, which the long way makes"
        assert (await one.ask()).what == 200
        while not goes(one):
            assert (await one.ask()).what == 200

    lived(life())


def test_only_a_closed_circuit_lets_it_go_and_it_is_never_the_try() -> None:
    async def life() -> None:
        policy = BreakerPolicy(min_requests=3, open_for=10.0)
        one = crowd(answer(500), answer(500), breaker=policy)
        assert goes(one)
        await one.ask()
        await one.ask()
        assert one.resilience.endpoints.circuits() == {"api": 2}
        for _ in range(3):
            assert not goes(one)
        await asyncio.sleep(10)
        for _ in range(3):
            assert not goes(one)
        assert (await one.ask()).what == 200, "the try was left to it"
        assert goes(one)

    lived(life())


def test_successes_without_a_task_count_against_the_failures() -> None:
    async def life() -> None:
        policy = BreakerPolicy(min_requests=4, failure_ratio=0.5)
        one = crowd(*([answer(500)] * 4), breaker=policy)
        for _ in range(5):
            assert goes(one)
        for _ in range(4):
            await one.ask()
        assert one.resilience.endpoints.circuits() == {"api": 0}

    lived(life())


def test_a_rate_of_our_own_is_the_long_ways() -> None:
    async def life() -> None:
        one = crowd(rate=RatePolicy(requests=1000, per=1.0))
        assert not goes(one)
        assert (await one.ask()).what == 200
        assert not goes(one)

    lived(life())


def test_a_place_has_to_be_free_and_nobody_waiting() -> None:
    async def life() -> None:
        one = crowd(concurrency=QueuePolicy(most=1))
        assert not goes(one), "nothing is known of places yet"
        await one.ask()
        permit = one.resilience.at_once(request(), one.route)
        assert permit is not None
        assert not goes(one)
        waiting = asyncio.create_task(one.ask())
        await asyncio.sleep(0.001)
        permit.well(200, None)
        await asyncio.sleep(0)
        assert not goes(one), "the place is the waiting one's"
        assert (await waiting).what == 200
        assert goes(one)

    lived(life())


@pytest.mark.parametrize("remaining", [0, 1, 1000])
def test_a_quota_that_runs_low_is_the_long_ways(remaining: int) -> None:
    async def life() -> None:
        fields = [
            ("X-RateLimit-Limit", "1000"),
            ("X-RateLimit-Remaining", str(remaining)),
            ("X-RateLimit-Reset", "60"),
        ]
        one, other = (
            crowd(answer(200, *fields), pacing=PacePolicy(), concurrency=QueuePolicy(most=3)) for _ in "ab"
        )
        await asyncio.gather(one.ask(), other.ask())
        went = goes(one)
        told = await other.ask()
        assert went is (told.what == 200 and told.seconds < 0.02), "the same in the same state"
        assert went is (remaining > 0)
        assert one.resilience._places["api"].line.under_way == 0

    lived(life())
