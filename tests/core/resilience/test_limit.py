"""Do no more calls go than the rate allows, and none later than it must?"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.resilience.limit import RatePolicy, Turns, give_back, take
from proxy.core.resilience.passage import GO, Go, Refuse, Wait

# One a second, three at once.
POLICY = RatePolicy(requests=60, per=60.0, burst=3, max_wait=2.5)


def taken(
    count: int, now: float = 100.0, policy: RatePolicy = POLICY
) -> tuple[list[Go | Wait | Refuse], Turns]:
    turns, got = Turns(), []
    for _ in range(count):
        passage, turns = take(policy, turns, now, patience=60.0)
        got.append(passage)
    return got, turns


def test_a_burst_then_one_after_another_then_none() -> None:
    got, turns = taken(6)
    assert got == [GO, GO, GO, Wait(seconds=1.0), Wait(seconds=2.0), Refuse(seconds=3.0)]
    # A refusal takes no turn.
    assert take(POLICY, turns, 100.0, patience=60.0)[0] == Refuse(seconds=3.0)
    assert take(POLICY, turns, 100.5, patience=60.0)[0] == Wait(seconds=2.5)


def test_who_has_no_time_takes_no_turn() -> None:
    _, turns = taken(3)
    assert take(POLICY, turns, 100.0, patience=0.5) == (Refuse(seconds=1.0), turns)
    assert take(POLICY, turns, 100.0, patience=1.0)[0] == Wait(seconds=1.0)


def test_batch_calls_leave_turns_to_others() -> None:
    turns, got = Turns(), []
    for _ in range(5):
        passage, turns = take(POLICY, turns, 100.0, patience=60.0, batch=True)
        got.append(passage)
    assert got == [GO, GO, GO, Refuse(seconds=2.0), Refuse(seconds=2.0)]
    for expected in (Wait(seconds=1.0), Wait(seconds=2.0), Refuse(seconds=3.0)):
        passage, turns = take(POLICY, turns, 100.0, patience=60.0)
        assert passage == expected
    # Where nobody may wait and nothing comes at once there is nothing to leave.
    strict = RatePolicy(requests=60, per=60.0, burst=1, max_wait=0.0)
    assert take(strict, Turns(), 100.0, patience=60.0, batch=True)[0] == GO


def test_what_was_not_used_is_the_burst_and_no_more() -> None:
    _, turns = taken(3)
    assert take(POLICY, turns, 101.0, patience=60.0)[0] == GO
    got = []
    for _ in range(4):
        passage, turns = take(POLICY, turns, 9999.0, patience=60.0)
        got.append(passage)
    assert got == [GO, GO, GO, Wait(seconds=1.0)]


def test_a_turn_given_back_is_the_next_ones() -> None:
    _, turns = taken(4)
    back = give_back(POLICY, turns, 100.25)
    passage, _ = take(POLICY, back, 100.25, patience=60.0)
    assert passage == Wait(seconds=0.75)
    assert give_back(POLICY, Turns(), 5.0) == Turns()
    assert give_back(POLICY, Turns(due=5.5), 5.0) == Turns(due=5.0)


@settings(deadline=None)
@given(
    requests=st.integers(1, 50),
    per=st.floats(0.1, 60),
    burst=st.integers(1, 10),
    max_wait=st.floats(0, 5),
    gaps=st.lists(st.floats(0, 3), min_size=1, max_size=60),
)
def test_against_every_stretch_of_time(
    requests: int, per: float, burst: int, max_wait: float, gaps: list[float]
) -> None:
    """The model: between any two calls that went, no more than the law says, and nobody waited in vain."""
    policy = RatePolicy(requests=requests, per=per, burst=burst, max_wait=max_wait)
    turns, now = Turns(), 1000.0
    went: list[float] = []
    for gap in gaps:
        now += gap
        passage, turns = take(policy, turns, now, patience=60.0)
        wait = _earliest(went, now, policy) - now
        match passage:
            case Go():
                assert wait <= 1e-6
                went.append(now)
            case Wait(seconds=seconds):
                assert 0 < seconds <= max_wait + 1e-6
                assert seconds == pytest.approx(wait, abs=1e-6)
                went.append(now + seconds)
            case Refuse(seconds=seconds):
                assert seconds is not None
                assert seconds == pytest.approx(wait, abs=1e-6)
                assert seconds > max_wait
    for first in range(len(went)):
        for last in range(first, len(went)):
            assert last - first + 1 <= burst + (went[last] - went[first]) / policy.interval + 1e-4


def _earliest(went: list[float], now: float, policy: RatePolicy) -> float:
    """The first moment at which one more may go: the bucket's level from the whole history."""
    due = float("-inf")
    for when in went:
        due = max(due, when) + policy.interval
    # In turn: nobody overtakes.
    return max(now, due - (policy.burst - 1) * policy.interval)
