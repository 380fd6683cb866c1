"""Do a thousand requests a second stay harmless to an upstream that fails, or that limits?"""

from __future__ import annotations

from proxy.core.resilience.breaker import BreakerPolicy
from proxy.core.resilience.budget import BudgetPolicy
from proxy.core.resilience.queue import QueuePolicy
from proxy.core.resilience.retry import RetryPolicy
from proxy.core.routing import Timeouts
from tests.gateway.crowd import Crowd, Upstream, Window, answer, route
from tests.gateway.hours import lived

CALLERS, RATE, SECONDS = 50, 20.0, 20.0
ASKED = int(CALLERS * RATE * SECONDS)
BUDGET = BudgetPolicy()
RETRY = RetryPolicy(attempts=3, budget=BUDGET)


def test_a_dead_upstream_gets_a_fifth_more_and_the_minimum() -> None:
    async def life() -> None:
        crowd = Crowd(Upstream(lambda _: answer(500)), route(retry=RETRY))
        await crowd.storm(CALLERS, RATE, SECONDS)
        assert len(crowd.told) == ASKED
        most = ASKED * (1 + BUDGET.ratio) + BUDGET.min_per_second * SECONDS
        assert ASKED < len(crowd.upstream.asked) <= most
        assert crowd.counted() == {500: ASKED}

    lived(life())


def test_the_breaker_cuts_that_to_probes() -> None:
    async def life() -> None:
        policy = BreakerPolicy()
        crowd = Crowd(Upstream(lambda _: answer(500)), route(retry=RETRY, breaker=policy))
        await crowd.storm(CALLERS, RATE, SECONDS)
        asked = crowd.upstream.asked
        opened = asked[0] + 0.1
        assert len([when for when in asked if when <= opened]) <= 2 * policy.min_requests
        assert len([when for when in asked if when > opened]) == SECONDS // policy.open_for
        refused = [told for told in crowd.told if told.what == "circuit_open"]
        assert len(refused) > 0.99 * ASKED
        assert all(told.failure and 0 < (told.failure.retry_after or 0) <= 15 for told in refused)
        assert max(told.seconds for told in refused) < 1.0

    lived(life())


def test_a_recovered_upstream_is_used_again() -> None:
    async def life() -> None:
        crowd = Crowd(
            Upstream(lambda now: answer(500 if now < 1003 else 200)),
            route(retry=RETRY, breaker=BreakerPolicy(open_for=2.0)),
        )
        await crowd.storm(10, 10.0, 8.0)
        assert crowd.counted()[200] >= 0.45 * len(crowd.told)
        assert crowd.resilience.endpoints.circuits() == {"api": 0}

    lived(life())


def test_a_limited_upstream_is_left_alone_and_well_used() -> None:
    async def life() -> None:
        window = Window(10)
        deadline = 5.0
        crowd = Crowd(
            Upstream(window),
            route(
                retry=RETRY,
                timeouts=Timeouts(total=deadline),
                breaker=BreakerPolicy(),
                concurrency=QueuePolicy(most=256, most_waiting=20_000),
            ),
        )
        await crowd.storm(CALLERS, RATE, SECONDS)
        assert len(crowd.told) == ASKED
        # Nothing is sent between the arrival of a 429 and the end of what it asks for.
        for at, until in window.shut:
            arrived = at + crowd.upstream.latency
            assert not [when for when in crowd.upstream.asked if arrived < when < until]
        good = crowd.counted()[200]
        # Of the very seconds of the storm: who waits is answered after them as well.
        seconds = range(1000, 1000 + int(SECONDS))
        taken = sum(min(window.taken[second], window.limit) for second in seconds)
        assert good > taken >= 0.9 * window.limit * SECONDS
        assert max(told.seconds for told in crowd.told) <= deadline + crowd.upstream.latency + 1e-6
        amplified = len(crowd.upstream.asked) / good
        assert amplified < 2.0, "refused calls are few beside those that were taken"

    lived(life())
