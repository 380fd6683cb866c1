from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.caching.entry import Entry, storable_fields
from proxy.core.message import Headers
from tests.core.caching.samples import NOW, entry

HOPS = [
    *("Connection", "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding", "Upgrade"),
    *("Proxy-Authenticate", "Proxy-Authorization", "Proxy-Authentication-Info"),
]


@pytest.mark.parametrize("name", [*HOPS, "Set-Cookie", "Set-Cookie2", "Age"])
def test_never_stored(name: str) -> None:
    kept = storable_fields(Headers.of((name, "x"), (name.upper(), "y"), ("ETag", '"a"')))
    assert kept == Headers.of(("ETag", '"a"'))


def test_what_connection_names_is_not_stored() -> None:
    fields = Headers.of(
        ("X-One", "1"),
        ("x-two", "2"),
        ("X-Three", "3"),
        ("Connection", "x-ONE , close"),
        ("connection", "X-Two"),
    )
    assert storable_fields(fields) == Headers.of(("X-Three", "3"))


def test_content_length_cannot_be_dropped_by_naming_it() -> None:
    kept = storable_fields(Headers.of(("Connection", "content-length"), ("Content-Length", "3")))
    assert kept == Headers.of(("Content-Length", "3"))


_NAME = st.sampled_from([*HOPS, "Set-Cookie", "Age", "X-A", "X-B", "ETag", "Content-Length"])
_VALUE = st.sampled_from(["x", "X-A", "x-b, close", "", ",", "etag, X-A", '"q"'])


@given(st.lists(st.tuples(_NAME, _VALUE), max_size=12))
def test_what_is_stored_never_holds_what_must_not_be(fields: list[tuple[str, str]]) -> None:
    named = {
        word.strip().lower()
        for name, value in fields
        if name == "Connection"
        for word in value.split(",")
        if word.strip()
    } - {"content-length"}
    never = {name.lower() for name in HOPS} | {"set-cookie", "age"} | named
    kept = storable_fields(Headers.of(*fields))
    assert not kept.names() & never
    # And nothing else was lost.
    assert len(kept) == sum(name.lower() not in never for name, _ in fields)


def test_age_grows_with_the_clock_and_never_below_zero() -> None:
    kept = entry(("Cache-Control", "max-age=60"), ("Age", "10"))
    assert kept.age(NOW) == 10
    assert kept.age(NOW + 5.5) == 15.5
    assert kept.age(NOW - 1000) == 10
    assert kept.ttl(NOW + 5) == 45


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_freshness_is_monotone_in_time(one: float, other: float, lifetime: int, age: int) -> None:
    kept = entry(("Cache-Control", f"max-age={lifetime}"), ("Age", str(age)), ("ETag", '"a"'))
    earlier, later = sorted((NOW + one, NOW + other))
    assert kept.age(earlier) <= kept.age(later)
    assert kept.fresh(earlier) or not kept.fresh(later)


def test_a_stale_moment_is_the_one_at_which_the_lifetime_ends() -> None:
    kept = entry(("Cache-Control", "max-age=60"))
    assert kept.fresh(NOW + 59.999)
    assert not kept.fresh(NOW + 60)


def test_size_counts_body_and_fields() -> None:
    small = entry(("Cache-Control", "max-age=60"))
    large = entry(("Cache-Control", "max-age=60"), ("X-Long", "v" * 1000), body=b"b" * 5000)
    assert large.size - small.size > 6000


def test_its_rendering_shows_no_content() -> None:
    shown = repr(entry(("Cache-Control", "max-age=60"), ("X-Token", "hunter2"), body=b"hunter2"))
    assert "hunter2" not in shown


PLAIN, HEADED = entry(("Cache-Control", "max-age=60")), entry(("Cache-Control", "max-age=60"), head_only=True)


@pytest.mark.parametrize(
    ("newer", "older", "replaced"),
    [
        (PLAIN, PLAIN, True),
        (PLAIN, HEADED, True),
        (HEADED, HEADED, True),
        (HEADED, PLAIN, False),
        (replace(PLAIN, vary=("a",), selection=b"1"), HEADED, False),
        (replace(PLAIN, vary=("a",), selection=b"1"), replace(PLAIN, vary=("a",), selection=b"2"), False),
    ],
)
def test_what_replaces_what(newer: Entry, older: Entry, replaced: bool) -> None:
    assert newer.replaces(older) is replaced
