"""May a second attempt begin while something is held back, here or elsewhere?"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from proxy.core.resilience.hedging import ENOUGH, HedgePolicy
from proxy.core.resilience.retry import RetryPolicy
from tests.gateway.crowd import Crowd, Upstream, answer, route
from tests.gateway.hours import lived


@pytest.mark.parametrize(("limited_one", "hedged"), [("api", False), ("other", True)])
def test_an_upstreams_hold_off_forbids_hedges_to_that_one_alone(limited_one: str, hedged: bool) -> None:
    async def life() -> None:
        policy = RetryPolicy(attempts=2, budget=None, hedge=HedgePolicy())
        crowd = Crowd(Upstream(lambda _: answer()), route(retry=policy))
        here = crowd.route
        for _ in range(ENOUGH):
            await crowd.ask()
        crowd.upstream.rule = lambda _: answer(429, ("Retry-After", "1"))
        crowd.route = replace(here, name=limited_one, retry=RetryPolicy(attempts=1))
        assert (await crowd.ask()).what == 429
        crowd.upstream.rule, crowd.upstream.latency, crowd.route = lambda _: answer(), 1.0, here
        await asyncio.sleep(2)
        told = await crowd.ask()
        assert (told.what, len(told.exchange.attempts) == 2) == (200, hedged)

    lived(life())
