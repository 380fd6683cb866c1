"""Is the right endpoint asked, and taken to be well or ill by what its checks say?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.resilience.endpoints import CheckPolicy, Health, Standing, checked, choose, rest

WELL, ILL, FAILED, OPEN = Standing(), Standing(ill=True), Standing(failed=1), Standing(rests=5.0)


@pytest.mark.parametrize(
    ("name", "standings", "first", "expected"),
    [
        ("one", [WELL], 0, 0),
        ("in order", [WELL, WELL, WELL], 0, 0),
        ("each in turn", [WELL, WELL, WELL], 1, 1),
        ("and round again", [WELL, WELL, WELL], 2, 2),
        ("not one that rests", [OPEN, WELL], 0, 1),
        ("the turn of one that rests is the next one's", [WELL, OPEN, WELL], 1, 2),
        ("not one that is ill", [ILL, WELL], 0, 1),
        ("one that is ill where all are", [ILL, ILL], 0, 0),
        ("one that is ill where the other rests", [OPEN, ILL], 0, 1),
        ("another than the one that failed", [FAILED, WELL], 0, 1),
        ("the same where there is no other", [FAILED], 0, 0),
        ("the one that failed less", [Standing(failed=2), FAILED], 0, 1),
        ("one that failed once is better than one that is ill", [FAILED, ILL], 0, 0),
        ("nobody", [OPEN, OPEN], 0, None),
    ],
)
def test_who_is_asked(name: str, standings: list[Standing], first: int, expected: int | None) -> None:
    assert choose(standings, first=first) == expected, name


def test_how_long_nobody_may_be_asked() -> None:
    assert rest([OPEN, Standing(rests=2.0)]) == 2.0
    assert rest([OPEN, WELL]) is None
    assert rest([OPEN, ILL]) is None


STANDINGS = st.lists(
    st.builds(
        Standing,
        rests=st.none() | st.floats(0.1, 9),
        ill=st.booleans(),
        failed=st.integers(0, 3),
    ),
    min_size=1,
    max_size=8,
)


@given(standings=STANDINGS, first=st.integers(0, 20))
def test_nobody_better_is_passed_over(standings: list[Standing], first: int) -> None:
    place = choose(standings, first=first)
    if place is None:
        assert rest(standings) is not None
        return
    chosen = standings[place]
    assert chosen.rests is None
    others = [one for one in standings if one.rests is None]
    assert all((chosen.ill, chosen.failed) <= (one.ill, one.failed) for one in others)


@given(count=st.integers(1, 8), calls=st.integers(1, 40))
def test_in_turn_each_is_asked_as_often(count: int, calls: int) -> None:
    asked = [0] * count
    turn = 0
    for _ in range(calls):
        place = choose([WELL] * count, first=turn % count)
        assert place is not None
        asked[place] += 1
        turn = place + 1
    assert max(asked) - min(asked) <= 1


POLICY = CheckPolicy(path="/", unhealthy_after=3, healthy_after=2)


@pytest.mark.parametrize(
    ("checks", "expected"),
    [
        ("", Health()),
        ("..", Health()),
        ("xx", Health(otherwise=2)),
        ("xx.xx", Health(otherwise=2)),
        ("xxx", Health(ill=True)),
        ("xxx.", Health(ill=True, otherwise=1)),
        ("xxx.x.", Health(ill=True, otherwise=1)),
        ("xxx..", Health()),
    ],
)
def test_so_many_in_a_row_change_it(checks: str, expected: Health) -> None:
    health = Health()
    for check in checks:
        health = checked(POLICY, health, well=check == ".")
    assert health == expected
