from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.allowance import Allowance


@given(st.lists(st.integers(0, 50)))
def test_never_more_than_so_many_are_held(counts: list[int]) -> None:
    allowance, taken = Allowance(100), list[int]()
    for count in counts:
        if allowance.take(count):
            taken.append(count)
        else:
            assert sum(taken) + count > 100
            allowance.give(taken.pop(0))
        assert allowance.held == sum(taken) <= 100


def test_all_of_it_may_be_taken() -> None:
    allowance = Allowance(1)
    assert allowance.take(1)
    assert allowance.take(0)
    assert not allowance.take(1)
    allowance.give(1)
    assert allowance.take(1)
