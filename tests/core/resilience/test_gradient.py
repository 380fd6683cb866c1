"""Does the limit follow what the upstream bears?"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.resilience.gradient import Gradient, observe


def after(gradient: Gradient, count: int, seconds: float, *, overloaded: bool = False) -> Gradient:
    """So many answers, as many calls under way as the limit allows."""
    for _ in range(count):
        gradient = observe(
            gradient, seconds=seconds, under_way=int(gradient.limit), overloaded=overloaded, most=256
        )
    return gradient


def test_it_grows_while_answers_stay_fast() -> None:
    assert after(Gradient(), 100, 0.05).limit > 100
    assert after(Gradient(), 2000, 0.05).limit == 256


def test_it_shrinks_when_they_slow_down() -> None:
    grown = after(Gradient(), 200, 0.05)
    assert after(grown, 50, 1.0).limit < grown.limit / 4


def test_it_shrinks_at_an_overload() -> None:
    assert observe(Gradient(limit=50.0), seconds=0.1, under_way=50, overloaded=True).limit == 45.0
    assert after(Gradient(), 100, 0.05, overloaded=True).limit == 1.0


def test_what_is_not_used_is_not_tried() -> None:
    gradient = Gradient(limit=40.0, usual=0.05)
    for _ in range(100):
        gradient = observe(gradient, seconds=0.05, under_way=3, overloaded=False)
    assert gradient.limit == 40.0


def test_it_recovers() -> None:
    slow = after(after(Gradient(), 200, 0.05), 100, 2.0)
    assert after(slow, 500, 0.05).limit > slow.limit


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0, 100), st.integers(0, 500), st.booleans()),
        min_size=1,
        max_size=80,
    )
)
def test_it_stays_within_its_bounds(ends: list[tuple[float, int, bool]]) -> None:
    gradient = Gradient()
    for seconds, under_way, overloaded in ends:
        gradient = observe(
            gradient, seconds=seconds, under_way=under_way, overloaded=overloaded, least=2, most=64
        )
        assert 2 <= gradient.limit <= 64
        assert gradient.usual is None or gradient.usual >= 0
