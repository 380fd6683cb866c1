"""Do retries stay within what requests earned, and does a lone caller still get one?"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

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
    settled,
    tried_before,
    withdraw,
)

POLICY = BudgetPolicy()
BARE = BudgetPolicy(ratio=0.2, min_per_second=0.0)


def many(policy: BudgetPolicy, budget: Budget, count: int, now: float) -> Budget:
    for _ in range(count):
        budget = deposit(policy, budget, now)
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
        ("the reserve of three seconds at the start", POLICY, 0, 0.0, 6),
        ("a fifth of the requests, and the reserve", POLICY, 10, 0.0, 8),
        ("no reserve, nothing earned", BARE, 4, 0.0, 0),
        ("five requests pay for one", BARE, 5, 0.0, 1),
        ("what was earned fades", BARE, 100, 10.0, 7),
        ("until nothing is left of it", BARE, 100, 40.0, 0),
        ("the reserve does not grow over three seconds' worth", POLICY, 0, 3600.0, 6),
        ("a slow reserve still pays for one", BudgetPolicy(ratio=0, min_per_second=0.1), 0, 0.0, 1),
        ("ratio 0 and no reserve is never", BudgetPolicy(ratio=0, min_per_second=0), 1000, 0.0, 0),
    ],
)
def test_what_is_paid_for(
    name: str, policy: BudgetPolicy, requests: int, after: float, expected: int
) -> None:
    budget = many(policy, opened(policy, 100.0), requests, 100.0)
    assert paid(policy, budget, 100.0 + after) == expected, name


def test_a_spent_reserve_refills_by_the_clock() -> None:
    budget = opened(POLICY, 0.0)
    for _ in range(6):
        _, budget = withdraw(POLICY, budget, 0.0)
    assert withdraw(POLICY, budget, 0.4)[0] is False
    assert withdraw(POLICY, budget, 0.5)[0] is True


def test_parts_of_both_pots_pay_together() -> None:
    budget = Budget(earned=0.6, reserve=0.5, at=0.0)
    granted, after = withdraw(POLICY, budget, 0.0)
    assert granted
    assert after.earned == 0.0
    assert after.reserve == pytest.approx(0.1)


def test_a_layer_above_is_charged_as_far_as_there_is_anything() -> None:
    budget = charge(POLICY, opened(POLICY, 0.0), 0.0)
    assert budget.remaining == pytest.approx(5.0)
    for _ in range(5):
        budget = charge(POLICY, budget, 0.0)
    assert budget.remaining == 0.0


def test_a_clock_that_stands_or_slips_changes_nothing() -> None:
    budget = opened(POLICY, 10.0)
    assert settled(POLICY, budget, 10.0) is budget
    assert settled(POLICY, budget, 9.0) is budget


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


@dataclass
class History:
    """The budget as a plain list of what happened, summed anew each time."""

    policy: BudgetPolicy
    earned: list[tuple[float, float]] = field(default_factory=list)  # (when, how much); less than 0 = spent
    reserve: float = 0.0
    at: float = 0.0

    def fade(self, now: float) -> float:
        return sum(much * math.exp(-(now - when) / FADES_IN) for when, much in self.earned)


class Model(RuleBasedStateMachine):
    """Against the plain list, and against the law in whole."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.budget = opened(POLICY, self.now)
        self.history = History(policy=POLICY, reserve=POLICY.most_reserve, at=self.now)
        self.began = self.now
        self.requests = self.retries = 0

    def refill(self) -> None:
        passed = self.now - self.history.at
        full, rate = POLICY.most_reserve, POLICY.min_per_second
        self.history.reserve = min(full, self.history.reserve + passed * rate)
        self.history.at = self.now

    @rule(seconds=st.floats(0, 20))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule(count=st.integers(1, 30))
    def request(self, count: int) -> None:
        for _ in range(count):
            self.budget = deposit(POLICY, self.budget, self.now)
            self.history.earned.append((self.now, POLICY.ratio))
        self.requests += count

    @rule()
    def retry(self) -> None:
        self.refill()
        there = self.history.fade(self.now)
        granted, self.budget = withdraw(POLICY, self.budget, self.now)
        if abs(there + self.history.reserve - 1) > 1e-6:
            assert granted == (there + self.history.reserve >= 1)
        if granted:
            self.retries += 1
            self.spend(there)

    @rule()
    def retried_above(self) -> None:
        self.refill()
        self.budget = charge(POLICY, self.budget, self.now)
        self.spend(self.history.fade(self.now))

    def spend(self, there: float) -> None:
        first = min(1.0, there)
        self.history.earned.append((self.now, -first))
        self.history.reserve = max(0.0, self.history.reserve - (1 - first))

    @invariant()
    def agrees(self) -> None:
        self.refill()
        found = settled(POLICY, self.budget, self.now)
        assert found.earned == pytest.approx(self.history.fade(self.now), abs=1e-6)
        assert found.reserve == pytest.approx(self.history.reserve, abs=1e-6)

    @invariant()
    def no_storm(self) -> None:
        passed = self.now - self.began
        most = POLICY.ratio * self.requests + POLICY.min_per_second * passed + POLICY.most_reserve
        assert self.retries <= most + 1e-6


TestModel = Model.TestCase
TestModel.settings = settings(deadline=None, max_examples=50, stateful_step_count=40)


@given(
    ratio=st.floats(0, 1),
    rate=st.floats(0, 50),
    gaps=st.lists(st.floats(0, 2), min_size=1, max_size=60),
)
@settings(deadline=None)
def test_all_failing_never_exceeds_the_law(ratio: float, rate: float, gaps: list[float]) -> None:
    policy = BudgetPolicy(ratio=ratio, min_per_second=rate)
    now, budget, retries = 0.0, opened(policy, 0.0), 0
    for gap in gaps:
        now += gap
        budget = deposit(policy, budget, now)
        granted = True
        while granted and retries < 10_000:
            granted, budget = withdraw(policy, budget, now)
            retries += granted
    assert retries <= ratio * len(gaps) + rate * now + policy.most_reserve + 1e-6
