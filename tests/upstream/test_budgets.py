"""Does each upstream have its own budget, and who pays into it?"""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.core.message import Headers, Request, Whole
from proxy.core.resilience.budget import BudgetPolicy
from proxy.upstream.budgets import Budgets
from tests.core.caching.samples import route
from tests.upstream.conftest import Steady


def asked(*fields: tuple[str, str]) -> Request:
    return Request(method="GET", target="/", headers=Headers.of(*fields), body=Whole())


@pytest.fixture
def budgets() -> Budgets:
    return Budgets(Steady())


A = replace(route(), name="a")
TIGHT = replace(A.retry, budget=BudgetPolicy(ratio=0.5, min_per_second=0))


def test_requests_pay_for_retries_of_their_own_upstream(budgets: Budgets) -> None:
    tight, other = replace(A, retry=TIGHT), replace(A, name="b", retry=TIGHT)
    assert not budgets.pay(tight)
    for _ in range(5):
        budgets.requested(asked(), tight)
    assert [budgets.pay(tight) for _ in range(3)] == [True, True, False]
    assert not budgets.pay(other)
    assert budgets.remaining()["a"] == pytest.approx(0.5, abs=0.1)


def test_what_an_sdk_has_sent_before_is_charged(budgets: Budgets) -> None:
    tight = replace(A, retry=TIGHT)
    for _ in range(4):
        budgets.requested(asked(), tight)
    budgets.requested(asked(("x-stainless-retry-count", "1")), tight)
    assert budgets.remaining()["a"] == pytest.approx(1.0, abs=0.1)


def test_without_a_budget_everything_is_paid_for(budgets: Budgets) -> None:
    free = replace(A, retry=replace(A.retry, budget=None))
    budgets.requested(asked(), free)
    assert all(budgets.pay(free) for _ in range(100))
    assert budgets.remaining() == {}
