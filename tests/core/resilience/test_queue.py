"""Is the number under way bounded, the queue fair, and nobody forgotten?"""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from proxy.core.resilience.queue import (
    Enter,
    Full,
    Line,
    Priority,
    QueuePolicy,
    Stand,
    arrive,
    give_up,
    leave,
    priority,
)

POLICY = QueuePolicy(most=2, most_waiting=3)
INTER, BATCH = Priority.INTERACTIVE, Priority.BATCH


@pytest.mark.parametrize(
    ("text", "expected"),
    [(None, INTER), ("", INTER), ("batch", BATCH), (" Batch ", BATCH), ("interactive", INTER), ("?", INTER)],
)
def test_what_the_caller_says_of_itself(text: str | None, expected: Priority) -> None:
    assert priority(text) is expected


FULL_LINE = Line(under_way=2, interactive=(1,), batch=(2, 3))


@pytest.mark.parametrize(
    ("name", "line", "as_", "outcome", "after"),
    [
        ("room", Line(under_way=1), INTER, Enter(), Line(under_way=2)),
        ("room for batch", Line(under_way=1), BATCH, Enter(), Line(under_way=2)),
        ("none", Line(under_way=2), INTER, Stand(), Line(under_way=2, interactive=(9,))),
        ("none for batch", Line(under_way=2), BATCH, Stand(), Line(under_way=2, batch=(9,))),
        ("nobody overtakes", Line(under_way=1, batch=(1,)), BATCH, Stand(), Line(under_way=1, batch=(1, 9))),
        ("full", FULL_LINE, BATCH, Full(), FULL_LINE),
        (
            "the last batch caller yields",
            FULL_LINE,
            INTER,
            Stand(displaced=3),
            Line(under_way=2, interactive=(1, 9), batch=(2,)),
        ),
        (
            "no batch caller is there",
            Line(under_way=2, interactive=(1, 2, 3)),
            INTER,
            Full(),
            Line(under_way=2, interactive=(1, 2, 3)),
        ),
    ],
)
def test_arriving(name: str, line: Line, as_: Priority, outcome: object, after: Line) -> None:
    assert arrive(POLICY, line, 9, as_=as_) == (outcome, after), name


@pytest.mark.parametrize(
    ("name", "line", "most", "called", "after"),
    [
        ("nobody waits", Line(under_way=2), None, (), Line(under_way=1)),
        ("who came first", Line(under_way=2, batch=(1, 2)), None, (1,), Line(under_way=2, batch=(2,))),
        ("interactive first", FULL_LINE, None, (1,), Line(under_way=2, batch=(2, 3))),
        ("then batch", Line(under_way=2, batch=(2, 3)), None, (2,), Line(under_way=2, batch=(3,))),
        ("the limit grew", FULL_LINE, 3, (1, 2), Line(under_way=3, batch=(3,))),
        ("the limit shrank", FULL_LINE, 1, (), Line(under_way=1, interactive=(1,), batch=(2, 3))),
    ],
)  # fmt: skip
def test_leaving(name: str, line: Line, most: int | None, called: tuple[int, ...], after: Line) -> None:
    assert leave(POLICY, line, most=most) == (called, after), name


def test_giving_up() -> None:
    assert give_up(FULL_LINE, 1) == Line(under_way=2, batch=(2, 3))
    assert give_up(FULL_LINE, 3) == Line(under_way=2, interactive=(1,), batch=(2,))
    assert give_up(FULL_LINE, 99) == FULL_LINE


class Model(RuleBasedStateMachine):
    """Against two plain lists."""

    def __init__(self) -> None:
        super().__init__()
        self.line = Line()
        self.under_way: set[int] = set()
        self.waiting: list[tuple[Priority, int]] = []
        self.next = 0

    def first(self) -> tuple[Priority, int]:
        return min(self.waiting, key=lambda one: (one[0] is BATCH, one[1]))

    @rule(as_=st.sampled_from(Priority))
    def come(self, as_: Priority) -> None:
        self.next += 1
        outcome, self.line = arrive(POLICY, self.line, self.next, as_=as_)
        if len(self.under_way) < POLICY.most and not self.waiting:
            assert outcome == Enter()
            self.under_way.add(self.next)
        elif len(self.waiting) < POLICY.most_waiting:
            assert outcome == Stand()
            self.waiting.append((as_, self.next))
        else:
            batch = [number for kind, number in self.waiting if kind is BATCH]
            if as_ is BATCH or not batch:
                assert outcome == Full()
            else:
                assert outcome == Stand(displaced=max(batch))
                self.waiting.remove((BATCH, max(batch)))
                self.waiting.append((as_, self.next))

    @rule()
    def done(self) -> None:
        if self.under_way:
            self.under_way.pop()
            called, self.line = leave(POLICY, self.line)
            for ticket in called:
                assert self.first()[1] == ticket
                self.waiting.remove(self.first())
                self.under_way.add(ticket)

    @rule(which=st.integers(0, 10))
    def left(self, which: int) -> None:
        if self.waiting:
            gone = self.waiting.pop(which % len(self.waiting))
            self.line = give_up(self.line, gone[1])

    @invariant()
    def agrees(self) -> None:
        assert self.line.under_way == len(self.under_way) <= POLICY.most
        assert sorted((*self.line.interactive, *self.line.batch)) == sorted(n for _, n in self.waiting)
        assert self.line.waiting <= POLICY.most_waiting
        assert not self.line.waiting or len(self.under_way) == POLICY.most, "nobody waits beside a free place"


TestModel = Model.TestCase
TestModel.settings = settings(deadline=None, max_examples=80, stateful_step_count=50)
