"""Do batch calls yield wherever calls are kept waiting?"""

from __future__ import annotations

import asyncio

from proxy.core.message import Response
from proxy.core.resilience.limit import RatePolicy
from proxy.core.resilience.retry import RetryPolicy
from tests.gateway.crowd import Crowd, Upstream, answer, route
from tests.gateway.hours import lived

ONCE = RetryPolicy(attempts=1, budget=None)


def test_under_our_own_limit_a_crowd_of_batch_calls_leaves_turns_to_others() -> None:
    async def life() -> None:
        rate = RatePolicy(requests=10, per=1.0, burst=2, max_wait=2.0)
        crowd = Crowd(Upstream(lambda _: answer()), route(retry=ONCE, rate=rate))
        batch = [asyncio.create_task(crowd.ask(priority="batch")) for _ in range(100)]
        await asyncio.sleep(0)
        others = await asyncio.gather(*(crowd.ask() for _ in range(8)))
        assert {told.what for told in others} == {200}
        await asyncio.wait(batch)
        assert 5 < sum(task.result().what == 200 for task in batch) < 20

    lived(life())


def test_at_a_gate_that_opens_batch_calls_go_after_the_others() -> None:
    async def life() -> None:
        script: list[Response] = [answer(429, ("Retry-After", "2"))]
        crowd = Crowd(Upstream(lambda _: script.pop() if script else answer()), route(retry=ONCE))
        await crowd.ask()
        batch = [asyncio.create_task(crowd.ask(priority="batch")) for _ in range(5)]
        await asyncio.sleep(0.5)
        others = [asyncio.create_task(crowd.ask()) for _ in range(5)]
        ended: list[str] = []
        for task in batch:
            task.add_done_callback(lambda _: ended.append("batch"))
        for task in others:
            task.add_done_callback(lambda _: ended.append("other"))
        await asyncio.wait([*batch, *others])
        assert ended == ["other"] * 5 + ["batch"] * 5

    lived(life())
