"""Does the circuit open by the upstream's faults alone, and close by a proof of life?"""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from proxy.core.failure import (
    APIError,
    ConnectError,
    CredentialError,
    DeadlineExceededError,
    UpstreamProtocolError,
    UpstreamTimeoutError,
)
from proxy.core.resilience.breaker import (
    BreakerPolicy,
    Circuit,
    Closed,
    HalfOpen,
    News,
    Open,
    news,
    permit,
    report,
    well,
)
from proxy.core.resilience.passage import Go, Refuse

POLICY = BreakerPolicy(failure_ratio=0.5, min_requests=4, window=10.0, open_for=5.0)


def after(*told: News, at: float = 100.0, circuit: Circuit | None = None) -> Circuit:
    state: Circuit = circuit or Closed()
    for one in told:
        state = report(POLICY, state, one, at, era=state.era)
    return state


GOOD, BAD, GONE, NONE = News.ALIVE, News.FAULT, News.GONE, News.NOTHING


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (200, GOOD),
        (304, GOOD),
        (400, GOOD),
        (401, GOOD),
        (404, GOOD),
        (408, GOOD),
        (429, GOOD),
        (500, BAD),
        (501, GOOD),
        (502, BAD),
        (503, BAD),
        (529, BAD),
        (ConnectError(), BAD),
        (UpstreamTimeoutError(sent=True), BAD),
        (UpstreamProtocolError(sent=True), BAD),
        (DeadlineExceededError(), NONE),
        (CredentialError(), NONE),
        (None, NONE),
    ],
)
def test_what_an_end_says(cause: APIError | int | None, expected: News) -> None:
    assert news(cause) is expected


def test_where_another_endpoint_may_be_asked_one_that_cannot_be_reached_is_gone() -> None:
    assert news(ConnectError(), elsewhere=True) is GONE
    assert news(ConnectError(sent=True), elsewhere=True) is BAD
    assert news(502, elsewhere=True) is BAD
    assert news(None, elsewhere=True) is NONE


@pytest.mark.parametrize(
    ("name", "told", "expected"),
    [
        ("too few to judge", [BAD] * 3, Closed),
        ("enough, all bad", [BAD] * 4, Open),
        ("half of them", [GOOD, BAD, GOOD, BAD], Open),
        ("less than half", [BAD, GOOD, GOOD, GOOD, BAD], Closed),
        ("only a fault opens", [BAD, BAD, BAD, GOOD], Closed),
        ("who left says nothing", [BAD, BAD, BAD, NONE, NONE], Closed),
        ("all well", [GOOD] * 100, Closed),
        ("gone", [*[GOOD] * 100, GONE], Open),
    ],
)
def test_when_it_opens(name: str, told: list[News], expected: type[Circuit]) -> None:
    assert type(after(*told)) is expected, name


OPEN = Open(era=1, until=105.0)
HALF = HalfOpen(era=2, probing=105.0)


@pytest.mark.parametrize(
    ("circuit", "told", "expected"),
    [
        (OPEN, GOOD, OPEN),
        (OPEN, BAD, OPEN),
        (OPEN, GONE, OPEN),
        (OPEN, NONE, OPEN),
        (HALF, GOOD, Closed(era=3)),
        (HALF, BAD, Open(era=3, until=111.0)),
        (HALF, GONE, Open(era=3, until=111.0)),
        (HALF, NONE, HalfOpen(era=2)),
    ],
)
def test_the_table(circuit: Circuit, told: News, expected: Circuit) -> None:
    assert report(POLICY, circuit, told, 106.0, era=circuit.era) == expected


@pytest.mark.parametrize("circuit", [Closed(era=7), HALF])
@pytest.mark.parametrize("told", list(News))
def test_news_of_another_era_is_none(circuit: Circuit, told: News) -> None:
    assert report(POLICY, circuit, told, 106.0, era=circuit.era - 1) is circuit


def test_a_rest_and_a_probe() -> None:
    circuit = after(*[BAD] * 4)
    assert permit(POLICY, circuit, 100.0) == (Refuse(seconds=5.0), circuit)
    assert permit(POLICY, circuit, 104.5)[0] == Refuse(seconds=0.5)
    go, half = permit(POLICY, circuit, 105.0)
    assert (go, half) == (Go(era=2), HalfOpen(era=2, probing=105.0))
    # One at a time.
    assert isinstance(permit(POLICY, half, 105.0)[0], Refuse)
    # Its caller left: the next one tries.
    again = report(POLICY, half, NONE, 106.0, era=2)
    assert permit(POLICY, again, 106.0) == (Go(era=2), HalfOpen(era=2, probing=106.0))
    # A probe that is never heard of again does not hold the door for ever.
    assert isinstance(permit(POLICY, half, 110.0)[0], Go)
    closed = report(POLICY, half, GOOD, 107.0, era=2)
    assert permit(POLICY, closed, 107.0) == (Go(era=3), closed)


def test_the_window_rolls() -> None:
    circuit = after(BAD, BAD, BAD, at=100.0)
    assert isinstance(after(BAD, at=109.5, circuit=circuit), Open)
    assert isinstance(after(BAD, at=110.5, circuit=circuit), Closed)
    # A clock's slip backwards counts where it stands.
    assert isinstance(after(BAD, at=99.0, circuit=circuit), Open)


class Model(RuleBasedStateMachine):
    """Against a list of what was told, looked through anew each time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.circuit: Circuit = Closed()
        self.told: deque[tuple[int, News]] = deque()
        self.until: float | None = None
        self.out: list[int] = []  # eras of the calls under way
        self.probes = 0

    @rule(seconds=st.floats(0, 3))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def call(self) -> None:
        before = self.circuit
        passage, self.circuit = permit(POLICY, self.circuit, self.now)
        if self.until is not None and self.now < self.until:
            assert passage == Refuse(seconds=self.until - self.now)
        if isinstance(before, Closed):
            assert isinstance(passage, Go)
        if isinstance(passage, Go):
            self.out.append(passage.era)

    @rule(told=st.sampled_from([GOOD, BAD, BAD, GONE, NONE]), which=st.integers(0, 100))
    def end(self, told: News, which: int) -> None:
        if not self.out:
            return
        era = self.out.pop(which % len(self.out))
        before = self.circuit
        self.circuit = report(POLICY, before, told, self.now, era=era)
        if era != before.era:
            assert self.circuit is before
            return
        if isinstance(before, HalfOpen):
            self.told.clear()
            self.until = self.now + POLICY.open_for if told in {BAD, GONE} else None
            assert isinstance(self.circuit, {GOOD: Closed, BAD: Open, GONE: Open, NONE: HalfOpen}[told])
            return
        if told is NONE:
            assert self.circuit is before
            return
        slot = int(self.now // 1.0)
        self.told.append((slot, told))
        recent = [what for when, what in self.told if when > slot - 10]
        faults = recent.count(BAD)
        opens = told is GONE or (
            told is BAD and len(recent) >= POLICY.min_requests and faults * 2 >= len(recent)
        )
        assert isinstance(self.circuit, Open) == opens
        if opens:
            self.told.clear()
            self.until = self.now + POLICY.open_for

    @invariant()
    def memory_is_bounded(self) -> None:
        if isinstance(self.circuit, Closed):
            assert len(self.circuit.counts) <= 10


TestModel = Model.TestCase
TestModel.settings = settings(deadline=None, max_examples=80, stateful_step_count=50)


_AT = st.floats(0, 60)


@given(
    circuit=st.one_of(
        st.builds(
            Closed,
            era=st.integers(0, 3),
            slot=st.integers(0, 60),
            counts=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=10).map(tuple),
        ),
        st.builds(Open, era=st.integers(0, 3), until=_AT),
        st.builds(HalfOpen, era=st.integers(0, 3), probing=st.none() | _AT),
    ),
    era=st.integers(0, 3),
    now=_AT,
)
def test_a_success_told_in_short_is_a_proof_of_life(circuit: Circuit, era: int, now: float) -> None:
    told = report(POLICY, circuit, GOOD, now, era=era)
    assert well(POLICY, circuit, now, era=era) == told
