"""Does a hedge begin only after what nearly all answers took?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.resilience.hedging import ENOUGH, HedgePolicy, Times, patience, took

POLICY = HedgePolicy(quantile=0.95, least=0.01)


def after(*seconds: float) -> Times:
    times = Times()
    for one in seconds:
        times = took(times, one)
    return times


@pytest.mark.parametrize(
    ("name", "times", "expected"),
    [
        ("nothing is known", after(), None),
        ("too little is known", after(*[0.1] * (ENOUGH - 1)), None),
        ("all the same", after(*[0.1] * ENOUGH), 0.1),
        ("nineteen of twenty", after(*[0.1] * 19, 9.0), 0.1),
        ("two in twenty are slow", after(*[0.1] * 18, 9.0, 8.0), 8.0),
        ("never sooner than that", after(*[0.001] * 50), 0.01),
        ("what is long past is forgotten", after(*[5.0] * 200, *[0.1] * 200), 0.1),
    ],
)
def test_how_long_is_waited(name: str, times: Times, expected: float | None) -> None:
    assert patience(POLICY, times) == expected, name


@given(seconds=st.lists(st.floats(0, 60), min_size=ENOUGH, max_size=400), quantile=st.floats(0.5, 0.999))
def test_so_many_answers_came_within_it_and_no_fewer_would_do(seconds: list[float], quantile: float) -> None:
    times = after(*seconds)
    assert len(times.seconds) <= 200
    waited = patience(HedgePolicy(quantile=quantile, least=0.0), times)
    assert waited in times.seconds
    within = sum(1 for one in times.seconds if one <= waited)
    below = sum(1 for one in times.seconds if one < waited)
    assert within >= quantile * len(times.seconds) - 1e-6
    assert below < quantile * len(times.seconds)
