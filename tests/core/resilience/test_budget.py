"""Do retries stay within their share, and does a lone caller still get its own?"""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from proxy.core.message import Headers
from proxy.core.resilience.budget import (
    FADES_IN,
    Budget,
    BudgetPolicy,
    charge,
    deposit,
    opened,
    remaining,
    settled,
    tried_before,
    withdraw,
)

POLICY = BudgetPolicy()
BARE = BudgetPolicy(ratio=0.2, min_per_second=0.0)


def many(budget: Budget, count: int, now: float) -> Budget:
    for _ in range(count):
        budget = deposit(budget, now)
    return budget


def paid(policy: BudgetPolicy, budget: Budget, now: float) -> int:
    """How many retries in a row."""
    count = 0
    while True:
        granted, budget = withdraw(policy, budget, now)
        if not granted:
            return count
        count += 1


@pytest.mark.parametrize(
    ("name", "policy", "requests", "after", "expected"),
    [
        ("ten seconds of the least, for a lone caller", POLICY, 1, 0.0, 20),
        ("the least and the share do not add up", POLICY, 100, 0.0, 20),
        ("a fifth of many requests", POLICY, 1000, 0.0, 200),
        ("nothing requested, no least", BARE, 0, 0.0, 0),
        ("four requests do not pay for one", BARE, 4, 0.0, 0),
        ("five requests pay for one", BARE, 5, 0.0, 1),
        ("what was requested fades", BARE, 100, 10.0, 7),
        ("until nothing is left of it", BARE, 100, 40.0, 0),
        ("the least does not pile up", POLICY, 0, 3600.0, 20),
        ("a small least still pays for one", BudgetPolicy(ratio=0, min_per_second=0.01), 0, 0.0, 1),
        ("ratio 0 and no least is never", BudgetPolicy(ratio=0, min_per_second=0), 1000, 0.0, 0),
    ],
)
def test_what_is_paid_for(
    name: str, policy: BudgetPolicy, requests: int, after: float, expected: int
) -> None:
    budget = many(opened(100.0), requests, 100.0)
    assert paid(policy, budget, 100.0 + after) == expected, name


def test_what_was_spent_comes_back_as_it_fades() -> None:
    budget = opened(0.0)
    for _ in range(20):
        _, budget = withdraw(POLICY, budget, 0.0)
    assert withdraw(POLICY, budget, 0.4)[0] is False
    assert withdraw(POLICY, budget, 0.6)[0] is True
    assert paid(POLICY, budget, FADES_IN) == 12


def test_a_layer_above_is_counted_though_nobody_was_asked() -> None:
    budget = opened(0.0)
    for _ in range(25):
        budget = charge(budget, 0.0)
    assert remaining(POLICY, budget, 0.0) == 0.0
    assert withdraw(POLICY, budget, 0.0)[0] is False


def test_a_clock_that_stands_or_slips_changes_nothing() -> None:
    budget = opened(10.0)
    assert settled(budget, 10.0) is budget
    assert settled(budget, 9.0) is budget


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ((), 0),
        ((("x-stainless-retry-count", "0"),), 0),
        ((("X-Stainless-Retry-Count", "2"),), 2),
        ((("x-stainless-retry-count", "two"),), 0),
        ((("x-stainless-retry-count", "-1"),), 0),
        ((("x-stainless-retry-count", "9999999999"),), 0),
        ((("amz-sdk-request", "attempt=1; max=3"),), 0),
        ((("amz-sdk-request", "ttl=20240520T101320Z; attempt=3; max=3"),), 2),
        ((("amz-sdk-request", "attempt=x"),), 0),
        ((("x-envoy-attempt-count", "1"),), 0),
        ((("x-envoy-attempt-count", "4"),), 3),
        ((("grpc-previous-rpc-attempts", "1"),), 1),
        ((("Retry-Attempt", "2"),), 2),
        ((("x-goog-api-client", "gl-python/3.12 gccl/2.1 gccl-attempt-count/2"),), 1),
        ((("x-goog-api-client", "gl-python/3.12"),), 0),
        ((("x-stainless-retry-count", "1"), ("x-envoy-attempt-count", "4")), 3),
    ],
)
def test_what_the_layer_above_tried(fields: tuple[tuple[str, str], ...], expected: int) -> None:
    assert tried_before(Headers.of(*fields)) == expected


class Model(RuleBasedStateMachine):
    """Against plain lists of when, summed anew each time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.budget = opened(self.now)
        self.requests: list[float] = []
        self.retries: list[float] = []

    def sum(self, times: list[float]) -> float:
        return sum(math.exp(-(self.now - when) / FADES_IN) for when in times)

    @rule(seconds=st.floats(0, 20))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule(count=st.integers(1, 60))
    def request(self, count: int) -> None:
        self.budget = many(self.budget, count, self.now)
        self.requests += [self.now] * count

    @rule(count=st.integers(1, 30))
    def retry(self, count: int) -> None:
        for _ in range(count):
            room = max(20.0, 0.2 * self.sum(self.requests)) - self.sum(self.retries)
            granted, self.budget = withdraw(POLICY, self.budget, self.now)
            if abs(room - 1) > 1e-6:
                assert granted == (room >= 1)
            if granted:
                self.retries.append(self.now)

    @rule()
    def retried_above(self) -> None:
        self.budget = charge(self.budget, self.now)
        self.retries.append(self.now)

    @invariant()
    def agrees(self) -> None:
        found = settled(self.budget, self.now)
        assert found.requests == pytest.approx(self.sum(self.requests), abs=1e-6)
        assert found.retries == pytest.approx(self.sum(self.retries), abs=1e-6)


TestModel = Model.TestCase
TestModel.settings = settings(deadline=None, max_examples=50, stateful_step_count=40)


@given(
    ratio=st.floats(0, 1),
    rate=st.floats(0, 20),
    gaps=st.lists(st.floats(0, 2), min_size=1, max_size=60),
)
@settings(deadline=None)
def test_all_failing_never_exceeds_the_law(ratio: float, rate: float, gaps: list[float]) -> None:
    policy = BudgetPolicy(ratio=ratio, min_per_second=rate)
    now, budget, retries = 0.0, opened(0.0), 0
    for gap in gaps:
        now += gap
        budget = deposit(budget, now)
        granted = True
        while granted and retries < 10_000:
            granted, budget = withdraw(policy, budget, now)
            retries += granted
    assert retries <= ratio * len(gaps) + policy.least * (1 + now / FADES_IN) + 1e-6


def test_a_steady_storm_is_a_fifth_more() -> None:
    now, budget, retries = 0.0, opened(0.0), 0
    for _ in range(20_000):  # 1,000 requests a second, all failing
        now += 0.001
        budget = deposit(budget, now)
        granted = True
        while granted:
            granted, budget = withdraw(POLICY, budget, now)
            retries += granted
    assert retries <= 0.2 * 20_000
