"""Is each time counted, and are quotas folded?"""

from __future__ import annotations

import pytest

from proxy.observe.families import BUCKETS, OTHER, Times, folded


@pytest.mark.parametrize("several", [[0.0001, BUCKETS[0]], [0.0001, 0.03, 0.05, 1000.0]])
def test_many_times_at_once_are_each_of_them(several: list[float]) -> None:
    once, together = Times(), Times()
    for seconds in several:
        once.add(seconds)
    together.add(*several)
    assert together.counts == once.counts
    assert together.total == pytest.approx(once.total)


def test_of_many_buckets_of_a_quota_the_others_are_one() -> None:
    quotas = {("a", str(n)): float(n) for n in range(9)} | {("b", "one"): 5.0}
    rows = dict(folded(quotas))
    assert rows == {("a", "0"): 0.0, ("a", "1"): 1.0, ("a", "2"): 2.0, ("a", "3"): 3.0} | {
        ("a", OTHER): 4.0,
        ("b", "one"): 5.0,
    }
