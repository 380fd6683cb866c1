"""Is a caller's trace continued as it stands, and never one that cannot be read?"""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.message import Headers
from proxy.core.tracing import Trace, begin, within

CALLERS = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TRACE_ID, SPAN_ID = 0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7


def bits(count: int) -> int:
    return (1 << count) - 1


def of(*lines: str, **fields: str) -> Headers:
    return Headers.of(*(("traceparent", line) for line in lines), *fields.items())


@pytest.mark.parametrize(
    "line",
    [
        CALLERS,
        f" {CALLERS} ",
        CALLERS[:-2] + "ff",  # flags that are not known yet, the first of them set
        "cc" + CALLERS[2:],
        "cc" + CALLERS[2:] + "-what.comes",
    ],
)
def test_a_callers_trace_is_continued(line: str) -> None:
    assert begin(of(line), sample=1.0, bits=bits) == Trace(
        trace_id=TRACE_ID, span_id=bits(64), parent=SPAN_ID
    )


@pytest.mark.parametrize(
    "lines",
    [
        (),
        (CALLERS, CALLERS),
        ("",),
        ("ff" + CALLERS[2:],),
        (CALLERS + "-more",),
        (CALLERS.upper(),),
        (CALLERS[:-1],),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01",),
        (f"00-4bf92f3577b34da6a3ce929d0e0e4736-{'0' * 16}-01",),
    ],
)
def test_one_that_cannot_be_read_is_begun_anew(lines: tuple[str, ...]) -> None:
    trace = begin(of(*lines), sample=1.0, bits=bits)
    assert trace == Trace(trace_id=bits(128), span_id=bits(64), parent=None)


def test_a_caller_that_does_not_sample_is_not_overruled() -> None:
    assert begin(of(CALLERS[:-2] + "00"), sample=1.0, bits=bits) is None


@pytest.mark.parametrize("lines", [(), (CALLERS,)])
def test_a_share_of_nothing_is_nothing(lines: tuple[str, ...]) -> None:
    assert begin(of(*lines), sample=0.0, bits=lambda _: 0) is None


@given(seed=st.integers(), sample=st.floats(0, 1))
def test_all_who_use_the_same_share_decide_alike(seed: int, sample: float) -> None:
    draw = random.Random(seed).getrandbits
    first = begin(of(), sample=sample, bits=draw)
    if first is not None:
        assert begin(of(first.told(first.span_id)), sample=sample, bits=draw) is not None


def test_a_share_is_about_that_share() -> None:
    draw = random.Random(7).getrandbits
    told = sum(begin(of(), sample=0.25, bits=draw) is not None for _ in range(4000))
    assert 850 < told < 1150


def test_no_number_is_zero() -> None:
    trace = begin(of(), sample=1.0, bits=lambda _: 0)
    assert trace is not None
    assert (trace.trace_id, trace.span_id) == (1, 1)


def test_the_next_one_continues_below_our_span() -> None:
    trace = Trace(trace_id=TRACE_ID, span_id=5, parent=SPAN_ID)
    onward = within(of(CALLERS, tracestate="a=b", accept="*/*"), trace, 0xAB)
    assert list(onward) == [
        ("tracestate", "a=b"),
        ("accept", "*/*"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00000000000000ab-01"),
    ]


def test_a_state_does_not_outlive_its_trace() -> None:
    onward = within(of("nonsense", tracestate="a=b"), Trace(trace_id=1, span_id=2), 2)
    assert onward.names() == {"traceparent"}
