"""Does each guard of an upstream hold back what it should, for as long as it should, and say so?"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from proxy.core.failure import (
    APIError,
    CircuitOpenError,
    ConnectError,
    DeadlineExceededError,
    OverloadedError,
    RateLimitError,
)
from proxy.core.message import Response
from proxy.core.reason import Reason
from proxy.core.resilience.breaker import BreakerPolicy
from proxy.core.resilience.limit import RatePolicy
from proxy.core.resilience.queue import Line, QueuePolicy
from proxy.core.resilience.quota import PacePolicy
from proxy.core.resilience.retry import RetryPolicy
from proxy.core.routing import Timeouts
from tests.core.caching.samples import Named
from tests.gateway.crowd import Crowd, Told, Upstream, answer, route
from tests.gateway.hours import lived

ONCE = RetryPolicy(attempts=1, budget=None)
THRICE = RetryPolicy(attempts=3, budget=None)


def held(told: Told) -> list[tuple[Reason, Any]]:
    return [(one.reason, pytest.approx(one.seconds, abs=0.06)) for one in told.exchange.held]


def scripted(*script: Response | APIError) -> Upstream:
    left = list(script)
    return Upstream(lambda _: left.pop(0) if left else answer())


def limited(seconds: str) -> Response:
    return answer(429, ("Retry-After", seconds))


# The circuit


def test_an_open_circuit_refuses_and_says_until_when() -> None:
    async def life() -> None:
        policy = BreakerPolicy(min_requests=2, open_for=10.0)
        crowd = Crowd(scripted(answer(500), ConnectError()), route(retry=ONCE, breaker=policy))
        assert [(await crowd.ask()).what for _ in range(2)] == [500, "connect_failed"]
        assert crowd.resilience.endpoints.circuits() == {"api": 2}
        await asyncio.sleep(4)
        told = await crowd.ask()
        assert isinstance(told.failure, CircuitOpenError)
        assert told.failure.retry_after == pytest.approx(6.0)
        assert told.exchange.attempts == []
        assert len(crowd.upstream.asked) == 2
        await asyncio.sleep(6)
        probe, other = await asyncio.gather(crowd.ask(), crowd.ask())
        assert (probe.what, other.what) == (200, "circuit_open")
        assert crowd.resilience.endpoints.circuits() == {"api": 0}

    lived(life())


def test_a_retry_ends_where_the_circuit_opens() -> None:
    async def life() -> None:
        policy = BreakerPolicy(min_requests=2)
        crowd = Crowd(Upstream(lambda _: answer(500)), route(retry=THRICE, breaker=policy))
        told = await crowd.ask()
        assert told.what == 500, "the caller gets the upstream's own answer"
        assert [attempt.reason for attempt in told.exchange.attempts] == [Reason.STATUS, Reason.CIRCUIT_OPEN]

    lived(life())


def test_a_callers_mistakes_and_leaving_do_not_open_it() -> None:
    async def life() -> None:
        policy = BreakerPolicy(min_requests=2)
        upstream = Upstream(lambda _: answer(404), latency=1.0)
        crowd = Crowd(upstream, route(retry=ONCE, breaker=policy))
        for _ in range(5):
            await crowd.ask()
            leaving = asyncio.create_task(crowd.ask())
            await asyncio.sleep(0.5)
            leaving.cancel()
            await asyncio.wait([leaving])
        assert crowd.resilience.endpoints.circuits() == {"api": 0}

    lived(life())


# The hold-off


def test_after_a_429_with_a_time_all_wait_for_it() -> None:
    async def life() -> None:
        crowd = Crowd(scripted(limited("4")), route(retry=ONCE))
        assert (await crowd.ask()).what == 429
        await asyncio.sleep(1)
        told = await asyncio.gather(*(crowd.ask() for _ in range(5)))
        assert {one.what for one in told} == {200}
        assert held(told[0]) == [(Reason.HOLD_OFF, 3.0)]
        first, *rest = crowd.upstream.asked[1:]
        assert first - crowd.upstream.asked[0] >= 4.0
        assert all(when > first for when in rest), "one goes before the others"

    lived(life())


def test_who_cannot_wait_so_long_fails_at_once_with_the_seconds() -> None:
    async def life() -> None:
        crowd = Crowd(scripted(limited("20")), route(retry=ONCE, timeouts=Timeouts(total=10.0)))
        await crowd.ask()
        told = await crowd.ask()
        assert isinstance(told.failure, RateLimitError)
        assert told.failure.retry_after == pytest.approx(20.0, abs=0.1)
        assert told.failure.upstream is None
        assert told.seconds == 0.0
        hurried = await crowd.ask(("X-Request-Timeout", "0.5"))
        assert hurried.seconds == 0.0
        # The cache has something stale at hand: it is not worth waiting.
        assert (await crowd.ask(patient=False)).what == "rate_limited"
        assert len(crowd.upstream.asked) == 1

    lived(life())


def test_what_is_longer_than_may_be_waited_is_told_whatever_the_deadline() -> None:
    async def life() -> None:
        crowd = Crowd(scripted(limited("40")), route(retry=ONCE))
        await crowd.ask()
        assert (await crowd.ask()).what == "rate_limited"

    lived(life())


def test_another_credential_is_not_held_off() -> None:
    async def life() -> None:
        crowd = Crowd(scripted(limited("20")), route(retry=ONCE))
        mine, yours = ("Authorization", "Bearer mine"), ("Authorization", "Bearer yours")
        assert (await crowd.ask(mine)).what == 429
        assert (await crowd.ask(mine, patient=False)).what == "rate_limited"
        assert (await crowd.ask(yours, patient=False)).what == 200
        crowd.route = replace(crowd.route, injector=Named("another"))
        assert (await crowd.ask(mine, patient=False)).what == 200

    lived(life())


def test_another_bucket_is_not_held_off() -> None:
    async def life() -> None:
        search = ("X-RateLimit-Resource", "search")
        full = (("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "20"))
        crowd = Crowd(scripted(answer(429, search, *full)), route(retry=ONCE))
        assert (await crowd.ask()).what == 429
        # The same first segment is the same bucket.
        assert (await crowd.ask(patient=False)).what == "rate_limited"
        assert len(crowd.resilience._gates) == 1

    lived(life())


def test_the_reset_of_what_is_used_up_is_a_time_too() -> None:
    async def life() -> None:
        said = (("RateLimit", '"requests";r=0;t=7'),)
        crowd = Crowd(scripted(answer(429, *said)), route(retry=THRICE))
        told = await crowd.ask()
        assert told.what == 200
        assert crowd.upstream.asked[1] - crowd.upstream.asked[0] == pytest.approx(7.35, abs=0.1)

    lived(life())


def test_a_retry_knocks_at_the_gate_as_well() -> None:
    async def life() -> None:
        crowd = Crowd(scripted(limited("2"), limited("6")), route(retry=THRICE))
        first, second = await asyncio.gather(crowd.ask(), crowd.ask())
        assert (first.what, second.what) == (200, 200)
        began = crowd.upstream.asked[0]
        assert min(when - began for when in crowd.upstream.asked[2:]) >= 6.0

    lived(life())


def test_a_probe_that_leaves_hands_on() -> None:
    async def life() -> None:
        upstream = Upstream(lambda now: limited("2") if now < 1001 else answer(), latency=0.5)
        crowd = Crowd(upstream, route(retry=ONCE))
        await crowd.ask()
        probe, other = asyncio.create_task(crowd.ask()), asyncio.create_task(crowd.ask())
        await asyncio.sleep(2.1)
        probe.cancel()
        assert (await other).what == 200
        assert other.result().seconds == pytest.approx(2.6, abs=0.05)

    lived(life())


# Our own limit, and the pace


def test_our_own_limit_spreads_calls_and_refuses_what_would_wait_too_long() -> None:
    async def life() -> None:
        rate = RatePolicy(requests=60, per=60.0, burst=2, max_wait=2.0)
        crowd = Crowd(scripted(), route(retry=ONCE, rate=rate))
        told = await asyncio.gather(*(crowd.ask() for _ in range(5)))
        assert [one.what for one in told] == [200, 200, 200, 200, "rate_limited"]
        assert held(told[3]) == [(Reason.RATE_LIMIT, 2.0)]
        assert told[4].failure is not None
        assert told[4].failure.retry_after == pytest.approx(3.0)

    lived(life())


def most_in_a_second(asked: list[float]) -> int:
    return max(len([other for other in asked if when <= other < when + 1]) for when in asked)


def test_who_has_waited_at_the_gate_goes_no_faster_than_our_own_limit() -> None:
    async def life() -> None:
        rate = RatePolicy(requests=20, per=1.0, burst=1, max_wait=5.0)
        upstream = scripted(*[answer()] * 9, limited("4"))
        crowd = Crowd(upstream, route(retry=ONCE, rate=rate))
        told = await asyncio.gather(*(crowd.ask() for _ in range(90)))
        assert [one.what for one in told].count(200) == 89
        assert most_in_a_second(upstream.asked) <= 21

    lived(life())


def test_who_has_waited_in_the_queue_goes_no_faster_than_our_own_limit() -> None:
    async def life() -> None:
        rate = RatePolicy(requests=20, per=1.0, burst=1, max_wait=5.0)
        upstream = Upstream(lambda _: answer(), latency=4.0)
        crowd = Crowd(upstream, route(retry=ONCE, rate=rate, concurrency=QueuePolicy(most=5)))
        asking = [asyncio.create_task(crowd.ask()) for _ in range(90)]
        await asyncio.sleep(1.0)
        upstream.latency = 0.001
        await asyncio.wait(asking)
        assert crowd.counted() == {200: 90}
        assert most_in_a_second(upstream.asked) <= 21
        assert upstream.asked[-1] - upstream.asked[0] < 10.0, "and hardly slower"

    lived(life())


def test_a_turn_that_is_not_used_is_the_next_ones() -> None:
    async def life() -> None:
        rate = RatePolicy(requests=1, per=1.0, burst=1, max_wait=5.0)
        crowd = Crowd(scripted(), route(retry=ONCE, rate=rate))
        await crowd.ask()
        leaving = asyncio.create_task(crowd.ask())
        await asyncio.sleep(0.5)
        leaving.cancel()
        await asyncio.wait([leaving])
        assert (await crowd.ask()).seconds == pytest.approx(0.5, abs=0.02)

    lived(life())


def test_a_small_rest_of_a_quota_is_spread_to_its_reset() -> None:
    async def life() -> None:
        said = (("RateLimit-Limit", "100"), ("RateLimit-Remaining", "4"), ("RateLimit-Reset", "4"))
        crowd = Crowd(scripted(answer(200, *said)), route(retry=ONCE, pacing=PacePolicy()))
        await crowd.ask()
        assert crowd.resilience.quotas() == {("api", "default"): 4.0}
        told = await asyncio.gather(*(crowd.ask() for _ in range(3)))
        assert [held(one) for one in told] == [[], [(Reason.PACED, 1.0)], [(Reason.PACED, 2.0)]]

    lived(life())


def test_batch_calls_yield_and_urgent_ones_go() -> None:
    async def life() -> None:
        said = (("RateLimit-Limit", "100"), ("RateLimit-Remaining", "0"), ("RateLimit-Reset", "30"))
        crowd = Crowd(
            scripted(answer(200, *said)),
            route(retry=ONCE, pacing=PacePolicy(max_wait=2.0), timeouts=Timeouts(total=1.0)),
        )
        await crowd.ask()
        batch = await crowd.ask(priority="batch")
        assert isinstance(batch.failure, RateLimitError)
        assert batch.failure.retry_after == pytest.approx(30.0, abs=0.1)
        assert (await crowd.ask()).seconds < 0.1

    lived(life())


def test_calls_that_are_refused_or_not_counted_leave_the_quota_to_others() -> None:
    async def life() -> None:
        said = (("RateLimit-Limit", "100"), ("RateLimit-Remaining", "10"), ("RateLimit-Reset", "100"))
        crowd = Crowd(
            Upstream(lambda _: answer(304, *said)),
            route(retry=ONCE, pacing=PacePolicy(), timeouts=Timeouts(total=1.0)),
        )
        await crowd.ask()
        told = [(await crowd.ask(priority="batch")).what for _ in range(30)]
        assert told == [304] + ["rate_limited"] * 29
        await asyncio.sleep(10.0)
        assert (await crowd.ask(priority="batch")).what == 304
        leaving = asyncio.create_task(crowd.ask())
        await asyncio.sleep(0.001)
        leaving.cancel()
        await asyncio.wait([leaving])
        [learned] = [one for known in crowd.resilience._quotas.learned.values() for one in known.values()]
        assert (learned.remaining, learned.gone) == (10.0, 0)

    lived(life())


# Places


def test_places_bound_what_is_under_way_and_the_queue_what_waits() -> None:
    async def life() -> None:
        upstream = Upstream(lambda _: answer(), latency=1.0)
        crowd = Crowd(upstream, route(retry=ONCE, concurrency=QueuePolicy(most=2, most_waiting=2)))
        told = await asyncio.gather(*(crowd.ask() for _ in range(5)))
        assert [one.what for one in told] == [200, 200, 200, 200, "overloaded"]
        assert isinstance(told[4].failure, OverloadedError)
        assert held(told[2]) == [(Reason.QUEUED, 1.0)]
        assert upstream.most_under_way == 2
        assert crowd.resilience._places["api"].line == Line()

    lived(life())


def test_a_deadline_counts_in_the_queue() -> None:
    async def life() -> None:
        upstream = Upstream(lambda _: answer(), latency=10.0)
        crowd = Crowd(upstream, route(retry=ONCE, concurrency=QueuePolicy(most=1)))
        first = asyncio.create_task(crowd.ask())
        await asyncio.sleep(0)
        told = await crowd.ask(("X-Request-Timeout", "2"))
        assert isinstance(told.failure, DeadlineExceededError)
        assert told.seconds == pytest.approx(2.0)
        assert (await first).what == 200

    lived(life())


def test_who_is_held_off_holds_no_place() -> None:
    async def life() -> None:
        upstream = Upstream(lambda now: limited("5") if now < 1001 else answer(), latency=1.0)
        crowd = Crowd(upstream, route(retry=ONCE, concurrency=QueuePolicy(most=1)))
        mine = ("Authorization", "mine")
        first = asyncio.create_task(crowd.ask(mine))
        await asyncio.sleep(0.5)
        waiting = asyncio.create_task(crowd.ask(mine))  # in the queue, then at the gate
        await asyncio.sleep(1)
        assert (await first).what == 429
        assert (await crowd.ask(("Authorization", "yours"))).seconds == pytest.approx(1.0)
        told = await waiting
        assert told.what == 200
        assert [one.reason for one in told.exchange.held] == [Reason.QUEUED, Reason.HOLD_OFF]

    lived(life())


def test_nothing_is_left_after_many_failures() -> None:
    async def life() -> None:
        kinds: list[Response | APIError] = [
            answer(500),
            limited("0.2"),
            ConnectError(),
            answer(200),
            answer(404),
            limited("x"),
        ]
        count = 0

        def rule(_: float) -> Response | APIError:
            nonlocal count
            count += 1
            return kinds[count % len(kinds)]

        crowd = Crowd(
            Upstream(rule),
            route(
                retry=RetryPolicy(attempts=2),
                breaker=BreakerPolicy(failure_ratio=0.9),
                concurrency=QueuePolicy(most=10, most_waiting=20),
                timeouts=Timeouts(total=3.0),
            ),
        )
        await crowd.storm(20, 10.0, 10.0)
        assert len(crowd.told) == 2000
        resilience = crowd.resilience
        assert resilience._places["api"].line == Line()
        assert resilience._places["api"]._waiting == {}
        assert resilience._gates._waiting == resilience._gates._timers == resilience._gates._called == {}

    lived(life())
