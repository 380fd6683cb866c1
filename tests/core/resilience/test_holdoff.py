"""Is the upstream left alone for as long as it asked, and are those who waited let go one behind another?"""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from proxy.core.resilience.holdoff import (
    FREE_AT,
    PATIENCE,
    Free,
    Gate,
    Shut,
    Trickle,
    ended,
    free_places,
    left,
    limited,
    permit,
)
from proxy.core.resilience.passage import GO, Go, Wait


def shut(seconds: float = 30.0, at: float = 100.0) -> Gate:
    return limited(Free(), at, seconds=seconds)


def test_an_open_gate_lets_pass() -> None:
    assert permit(Free(), 0.0) == (GO, Free())
    assert permit(Free(era=3), 0.0) == (Go(era=3), Free(era=3))
    assert ended(Free(), 0.0, era=0, well=True) == Free()
    assert left(Free(), 0.0) == 0.0


def test_a_limit_shuts_it_for_all() -> None:
    gate = shut(30.0)
    assert gate == Shut(era=1, until=130.0)
    assert permit(gate, 100.0) == (Wait(seconds=30.0), gate)
    assert permit(gate, 129.5)[0] == Wait(seconds=0.5)
    assert left(gate, 110.0) == 20.0
    assert left(gate, 131.0) == 0.0


@pytest.mark.parametrize(
    ("name", "at", "seconds", "until"),
    [
        ("later puts it off", 110.0, 30.0, 140.0),
        ("earlier does not bring it forward", 110.0, 5.0, 130.0),
        ("no time is no news", 110.0, 0.0, 130.0),
    ],
)
def test_a_second_limit(name: str, at: float, seconds: float, until: float) -> None:
    assert limited(shut(30.0), at, seconds=seconds) == Shut(era=1, until=until), name


def test_no_time_shuts_nothing() -> None:
    assert limited(Free(), 0.0, seconds=0.0) == Free()


def test_one_goes_and_the_others_wait_for_its_end() -> None:
    go, gate = permit(shut(30.0), 130.0)
    assert go == Go(era=2)
    wait, same = permit(gate, 130.0)
    assert wait == Wait(seconds=PATIENCE)
    assert same is gate
    assert left(gate, 130.0) == 0.0
    # It was taken: two may be under way now, then three …
    gate = ended(gate, 130.1, era=2, well=True)
    for _ in range(2):
        go, gate = permit(gate, 130.1)
        assert go == Go(era=2)
    assert isinstance(permit(gate, 130.1)[0], Wait)
    gate = ended(gate, 130.2, era=2, well=True)
    for _ in range(2):
        go, gate = permit(gate, 130.2)
        assert isinstance(go, Go)
    assert isinstance(permit(gate, 130.2)[0], Wait)


def test_one_that_failed_or_left_makes_room_for_one() -> None:
    _, gate = permit(shut(30.0), 130.0)
    gate = ended(gate, 131.0, era=2, well=False)
    assert gate == Trickle(era=2, room=1, under_way=0, since=130.0)


def test_slow_answers_do_not_hold_all_up() -> None:
    _, gate = permit(shut(30.0), 130.0)
    assert permit(gate, 130.25)[0] == Wait(seconds=0.75)
    go, gate = permit(gate, 131.0)
    assert isinstance(go, Go)
    assert permit(gate, 131.5)[0] == Wait(seconds=0.5)


def test_limited_again_shuts_it_anew() -> None:
    _, gate = permit(shut(30.0), 130.0)
    gate = limited(gate, 130.2, seconds=10.0)
    assert gate == Shut(era=3, until=140.2)
    # The end of the call from before is no news.
    assert ended(gate, 130.3, era=2, well=True) is gate
    _, gate = permit(gate, 141.0)
    assert ended(gate, 141.1, era=2, well=True) is gate


def test_it_opens_when_enough_went_well() -> None:
    _, gate = permit(shut(1.0), 101.0)
    for _ in range(FREE_AT - 2):
        gate = ended(gate, 101.1, era=2, well=True)
        assert isinstance(gate, Trickle)
    # Not while others would all come at once.
    assert isinstance(ended(gate, 101.1, era=2, well=True, crowded=True), Trickle)
    assert ended(gate, 101.1, era=2, well=True) == Free(era=3)


def test_how_many_may_go() -> None:
    assert free_places(Free(), 0.0) == FREE_AT
    assert free_places(shut(30.0), 129.0) == 0
    assert free_places(shut(30.0), 130.0) == 1
    assert free_places(Trickle(era=2, room=3, under_way=1, since=130.0), 130.0) == 2
    assert free_places(Trickle(era=2, room=3, under_way=9, since=130.0), 130.0) == 0


class Model(RuleBasedStateMachine):
    """A crowd before the gate, against what the upstream asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.gate: Gate = Free()
        self.until = 0.0
        self.era_of_shutting = 0
        self.out: list[int] = []
        self.good = 0  # good ends since the last shutting
        self.last_news = 0.0

    @rule(seconds=st.floats(0, 5))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def call(self) -> None:
        passage, self.gate = permit(self.gate, self.now)
        if self.now < self.until:
            assert passage == Wait(seconds=self.until - self.now), "nothing is sent during a hold-off"
        if isinstance(passage, Wait):
            assert passage.seconds > 0
            return
        assert isinstance(passage, Go)
        self.out.append(passage.era)
        if isinstance(self.gate, Trickle):
            here = self.out.count(passage.era)
            begun = max(self.until, self.last_news)
            assert here <= 1 + self.good + (self.now - begun) / PATIENCE + 1e-6

    @rule(which=st.integers(0, 100), well=st.booleans())
    def end(self, which: int, well: bool) -> None:
        if self.out:
            era = self.out.pop(which % len(self.out))
            before = self.gate
            self.gate = ended(before, self.now, era=era, well=well)
            if well and isinstance(before, Trickle) and era == before.era:
                self.good += 1
                self.last_news = self.now

    @rule(which=st.integers(0, 100), seconds=st.floats(0.1, 20))
    def limit(self, which: int, seconds: float) -> None:
        if self.out:
            self.out.pop(which % len(self.out))
            self.gate = limited(self.gate, self.now, seconds=seconds)
            self.until = max(self.until if self.now < self.until else 0.0, self.now + seconds)
            self.good = 0

    @invariant()
    def held_back_as_asked(self) -> None:
        if isinstance(self.gate, Shut):
            assert self.gate.until >= self.until - 1e-9


TestModel = Model.TestCase
TestModel.settings = settings(deadline=None, max_examples=80, stateful_step_count=50)
