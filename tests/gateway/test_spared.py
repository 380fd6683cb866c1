"""What do callers get while the upstream is left alone, and something stale is stored?"""

from __future__ import annotations

import pytest

from proxy.core.failure import APIError, CircuitOpenError, OverloadedError, RateLimitError
from tests.core.caching.samples import request
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
    answer, body = await stage.get(request())
    assert (answer.status, body) == (200, b"body")
    assert f"detail={detail}" in told(answer)
    # It was said that waiting is not worth it; the first caller had nothing to fall back on.
    assert [exchange.patient for exchange in stage.exchanges] == [True, False]


async def test_where_it_may_not_be_stale_the_failure_is_told_and_waiting_is_worth_it() -> None:
    stage = Stage()
    stage.script += [fresh(("Cache-Control", "must-revalidate")), RateLimitError(retry_after=9)]
    await stage.get(request())
    stage.clock.time += 100
    with pytest.raises(RateLimitError):
        await stage.get(request())
    assert stage.exchanges[-1].patient
