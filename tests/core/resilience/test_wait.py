"""Is a told wait understood to the second, and is our own wait bounded?"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.message import Headers
from proxy.core.resilience.wait import backoff, spread, told

# Sun, 06 Nov 1994 08:49:37 GMT
WALL = 784111777.0

CHANCES = st.floats(0, 1, exclude_max=True)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ((), None),
        ((("Retry-After", "0"),), 0.0),
        ((("Retry-After", "7"),), 7.0),
        ((("Retry-After", " 7 "),), 7.0),
        ((("Retry-After", "0.25"),), 0.25),
        ((("Retry-After", ".5"),), 0.5),
        ((("Retry-After", "Sun, 06 Nov 1994 08:49:47 GMT"),), 10.0),
        ((("Retry-After", "Sunday, 06-Nov-94 08:49:47 GMT"),), 10.0),
        ((("Retry-After", "Sun Nov  6 08:49:47 1994"),), 10.0),
        ((("Retry-After", "Sun, 06 Nov 1994 08:49:07 GMT"),), 0.0),
        ((("retry-after-ms", "1500"),), 1.5),
        ((("x-ms-retry-after-ms", "20"),), 0.02),
        ((("retry-after-ms", "1500"), ("Retry-After", "9")), 1.5),
        ((("retry-after-ms", "soon"), ("Retry-After", "9")), 9.0),
        ((("Retry-After", "4"), ("Retry-After", "9")), 4.0),
        ((("Retry-After", "1m30s"),), 90.0),
        ((("Retry-After", "1994-11-06T08:49:47Z"),), 10.0),
        ((("Retry-After", ""),), None),
        ((("Retry-After", "\x1c0"),), None),
        ((("Retry-After", "-1"),), None),
        ((("Retry-After", "+1"),), None),
        ((("Retry-After", "1e3"),), None),
        ((("Retry-After", "nan"),), None),
        ((("Retry-After", "inf"),), None),
        ((("Retry-After", "1_0"),), None),
        ((("Retry-After", "٣"),), None),
        ((("Retry-After", "0x10"),), None),
        ((("Retry-After", "soon"),), None),
        ((("Retry-After", "9" * 400),), None),
    ],
)
def test_what_the_upstream_says(headers: tuple[tuple[str, str], ...], seconds: float | None) -> None:
    fields = Headers((name.encode(), value.encode()) for name, value in headers)
    assert told(fields, WALL) == seconds


@pytest.mark.parametrize("text", ["1716200030", "1716200030000"])
def test_a_moment_is_not_a_wait_of_decades(text: str) -> None:
    assert told(Headers.of(("Retry-After", text)), 1_716_200_000.0) == 30.0


@settings(deadline=None)
@given(st.binary(max_size=40), st.floats(0, 4e9))
def test_no_text_raises(value: bytes, wall: float) -> None:
    found = told(Headers([(b"Retry-After", value)]), wall)
    assert found is None or found >= 0


@settings(deadline=None)
@given(st.floats(0, 1e6), CHANCES)
def test_a_told_wait_is_never_shortened_and_little_lengthened(seconds: float, chance: float) -> None:
    assert seconds <= spread(seconds, chance) <= seconds + 1


@settings(deadline=None)
@given(st.integers(1, 10_000), CHANCES, st.floats(0, 60), st.floats(1, 10), st.floats(0, 60))
def test_full_jitter_is_bounded(
    attempt: int, chance: float, initial: float, factor: float, most: float
) -> None:
    wait = backoff(initial=initial, factor=factor, most=most, attempt=attempt, chance=chance)
    assert 0 <= wait <= most


@pytest.mark.parametrize(("attempt", "bound"), [(1, 0.2), (2, 0.4), (3, 0.8), (9, 10.0)])
def test_the_bound_grows_up_to_the_most(attempt: int, bound: float) -> None:
    assert backoff(initial=0.2, factor=2, most=10, attempt=attempt, chance=1.0) == pytest.approx(bound)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ((("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "9")), 9.0),
        ((("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "9"), ("Retry-After", "2")), 2.0),
        ((("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "9"), ("Retry-After", "soon")), 9.0),
        ((("X-RateLimit-Remaining", "5"), ("X-RateLimit-Reset", "9")), None),
        ((("X-RateLimit-Reset", "9"),), 9.0),
        ((("RateLimit", '"a";r=0;t=3, "b";r=0;t=7, "c";r=4;t=99'),), 7.0),
        ((("X-RateLimit-Reset", "soon"),), None),
        ((), None),
    ],
)
def test_the_reset_of_what_is_used_up(headers: tuple[tuple[str, str], ...], seconds: float | None) -> None:
    fields = Headers.of(*headers)
    assert told(fields, WALL, limited=True) == seconds
    assert "Retry-After" not in dict(headers) or told(fields, WALL) in (seconds, None)
