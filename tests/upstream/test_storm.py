"""Do retries to one upstream stay within their budget, whatever fails?"""

from __future__ import annotations

import pytest

from proxy.core.reason import Reason
from proxy.core.resilience.budget import BudgetPolicy
from proxy.upstream.budgets import Budgets
from tests.upstream.conftest import OK, Steady, Way

BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nno"
TIGHT = BudgetPolicy(ratio=0.2, min_per_second=0.0)


class Still(Steady):
    """A clock that stands."""

    def now(self) -> float:
        return 1000.0


async def test_a_dead_upstream_sees_a_fifth_more_and_no_storm(way: Way) -> None:
    way.attempts.budgets = Budgets(Still())  # what is counted wears off
    way.origin.on("/x").raw(BUSY)
    for _ in range(50):
        await way.ask(retry={"attempts": 5, "budget": TIGHT})
    assert way.origin.count() == 60


async def test_a_retry_that_is_not_paid_for_says_so(way: Way) -> None:
    way.origin.on("/x").raw(BUSY).raw(OK)
    got = await way.ask(retry={"budget": TIGHT})
    assert (got.status, way.origin.count()) == (503, 1)
    assert got.told == [("5xx", Reason.BUDGET_SPENT.value)]


async def test_without_a_budget_every_retry_is_paid_for(way: Way) -> None:
    way.origin.on("/x").raw(BUSY)
    for _ in range(10):
        await way.ask(retry={"attempts": 3, "budget": None})
    assert way.origin.count() == 30
    assert way.attempts.budgets.remaining() == {}


async def test_lone_requests_are_retried_in_full(way: Way) -> None:
    way.origin.on("/x").raw(BUSY)
    for _ in range(5):
        await way.ask(retry={"attempts": 5, "budget": BudgetPolicy()})
    assert way.origin.count() == 25
    [left] = way.attempts.budgets.remaining().values()
    assert 0.0 <= left < 2.0


@pytest.mark.parametrize("count", [0, 1])
async def test_a_retry_of_the_layer_above_earns_nothing(way: Way, count: int) -> None:
    way.origin.on("/x").raw(OK)
    way.attempts.budgets = Budgets(Still())
    earning = BudgetPolicy(ratio=1.0, min_per_second=0.0)
    await way.ask("GET", "/x", ("x-stainless-retry-count", str(count)), retry={"budget": earning})
    [left] = way.attempts.budgets.remaining().values()
    assert left == 1.0 - count
    assert way.origin.count() == 1
