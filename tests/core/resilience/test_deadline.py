"""Does the caller's own deadline shorten the total, and never lengthen it?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.message import Headers, Request, Whole
from proxy.core.resilience.deadline import grace, patience, total, unhurried


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ((), None),
        ((("X-Request-Timeout", "5"),), 5.0),
        ((("x-request-timeout", " 0.25 "),), 0.25),
        ((("x-request-timeout", ".5"),), 0.5),
        ((("x-request-timeout", "0"),), None),
        ((("x-request-timeout", "-1"),), None),
        ((("x-request-timeout", "5s"),), None),
        ((("x-request-timeout", "1e3"),), None),
        ((("x-request-timeout", "nan"),), None),
        ((("x-request-timeout", "9" * 400),), None),
        ((("grpc-timeout", "1H"),), 3600.0),
        ((("grpc-timeout", "2M"),), 120.0),
        ((("grpc-timeout", "3S"),), 3.0),
        ((("grpc-timeout", "250m"),), 0.25),
        ((("grpc-timeout", "500u"),), 0.0005),
        ((("grpc-timeout", "1n"),), 1e-9),
        ((("grpc-timeout", "123456789S"),), None),
        ((("grpc-timeout", "5"),), None),
        ((("grpc-timeout", "5s"),), None),
        ((("grpc-timeout", "0S"),), None),
        ((("x-request-timeout", "5"), ("grpc-timeout", "2S")), 2.0),
        ((("x-request-timeout", "5"), ("grpc-timeout", "junk")), 5.0),
    ],
)
def test_what_the_caller_gives(fields: tuple[tuple[str, str], ...], expected: float | None) -> None:
    assert patience(Headers.of(*fields)) == expected


@given(configured=st.floats(0.001, 1e6), text=st.text(alphabet="0123456789.SmHu-e ", max_size=12))
def test_it_never_lengthens(configured: float, text: str) -> None:
    for name in ("x-request-timeout", "grpc-timeout"):
        assert 0 < total(configured, Headers.of((name, text))) <= configured


def test_who_is_in_no_hurry_gets_what_has_begun() -> None:
    assert grace(60.0, Headers(), 10.0) == 50.0
    assert grace(60.0, Headers(), 70.0) == 0.0
    assert grace(60.0, Headers.of(("X-Request-Timeout", "10")), 10.0) == 0.0


def test_nobodys_hurry_goes_out_for_others() -> None:
    plain = Request(method="GET", target="/", headers=Headers.of(("A", "1")), body=Whole())
    assert unhurried(plain) is plain
    hurried = plain.headers.plus(("X-Request-Timeout", "1"), ("grpc-timeout", "1S"))
    asked = unhurried(Request(method="GET", target="/", headers=hurried, body=Whole()))
    assert asked.headers.names() == {"a"}
