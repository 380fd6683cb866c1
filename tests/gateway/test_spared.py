"""What do callers get while the upstream is left alone, and something stale is stored?"""

from __future__ import annotations

import pytest

from proxy.core.failure import APIError, CircuitOpenError, OverloadedError, RateLimitError
from proxy.core.message import Response
from proxy.core.reason import Reason
from proxy.core.resilience.retry import RetryPolicy
from tests.core.caching.samples import request
from tests.gateway.crowd import Crowd, Upstream, answer, route
from tests.gateway.hours import lived
from tests.gateway.stage import Stage, fresh, told


@pytest.mark.parametrize(
    ("failure", "detail"),
    [
        (RateLimitError(retry_after=9), "hold-off"),
        (OverloadedError(retry_after=1), "hold-off"),
        (CircuitOpenError(retry_after=9), "origin-gone"),
    ],
)
async def test_a_stale_answer_stands_in(failure: APIError, detail: str) -> None:
    stage = Stage()
    stage.script += [fresh(), failure]
    await stage.get(request())
    stage.clock.time += 100
    got, body = await stage.get(request())
    assert (got.status, body) == (200, b"body")
    assert f"detail={detail}" in told(got)
    # It was said that waiting is not worth it; the first caller had nothing to fall back on.
    assert [exchange.patient for exchange in stage.exchanges] == [True, False]


@pytest.mark.parametrize(
    ("limited", "status"),
    [
        (answer(429, ("Retry-After", "9")), 200),
        (answer(429, ("retry-after-ms", "900")), 200),
        (answer(429), 429),
        (answer(429, ("Retry-After", "0")), 429),
        (answer(503, ("Retry-After", "9")), 503),
    ],
)
async def test_it_does_for_whom_the_429_meets_that_begins_a_hold_off(limited: Response, status: int) -> None:
    stage = Stage()
    stage.script += [fresh(), limited]
    await stage.get(request())
    stage.clock.time += 100
    got, _ = await stage.get(request())
    assert got.status == status
    assert ("detail=hold-off" in told(got)) == (status == 200)


def test_who_has_something_stored_does_not_wait_for_leave() -> None:
    async def life() -> None:
        crowd = Crowd(Upstream(lambda _: answer(429, ("Retry-After", "9"))), route(retry=RetryPolicy()))
        got = await crowd.ask(patient=False)
        assert (got.what, [one.reason for one in got.exchange.attempts]) == (429, [Reason.HOLD_OFF])
        assert got.seconds < 1

    lived(life())


async def test_where_it_may_not_be_stale_the_failure_is_told_and_waiting_is_worth_it() -> None:
    stage = Stage()
    stage.script += [fresh(("Cache-Control", "must-revalidate")), RateLimitError(retry_after=9)]
    await stage.get(request())
    stage.clock.time += 100
    with pytest.raises(RateLimitError):
        await stage.get(request())
    assert stage.exchanges[-1].patient
