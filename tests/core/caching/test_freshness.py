import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.caching.directives import of_response
from proxy.core.caching.freshness import Lifetime, Source, dated, initial_age, lifetime
from proxy.core.caching.policy import CachePolicy, Scope
from proxy.core.message import Headers
from tests.core.caching.samples import PRIVATE, SHARED, TODAY, WALL, Pair

HOUR_AGO = ("Last-Modified", "Wed, 15 Jul 2026 11:50:00 GMT")
LONG_AGO = ("Last-Modified", "Wed, 15 Jul 2020 12:50:00 GMT")
IN_AN_HOUR = "Wed, 15 Jul 2026 13:50:00 GMT"
DATED = ("Date", TODAY)


def life(
    *fields: Pair, status: int = 200, policy: CachePolicy = PRIVATE, age: float = 0, wall: float = WALL
) -> Lifetime:
    headers = Headers.of(*fields)
    return lifetime(status, headers, of_response(headers, policy.scope), policy=policy, age=age, wall=wall)


def cc(value: str) -> Pair:
    return ("Cache-Control", value)


@pytest.mark.parametrize(
    ("fields", "policy", "seconds"),
    [
        ([cc("max-age=60")], PRIVATE, 60),
        ([cc("max-age=60"), ("Expires", "0")], PRIVATE, 60),
        ([cc("max-age=0"), ("Expires", IN_AN_HOUR), DATED], PRIVATE, 0),
        ([cc("max-age=60, s-maxage=600")], SHARED, 600),
        ([cc("max-age=600, s-maxage=60")], SHARED, 60),
        ([cc("max-age=600, s-maxage=0")], SHARED, 0),
        ([cc("max-age=60, s-maxage=600")], PRIVATE, 60),
        ([cc("max-age=600, s-maxage=0")], PRIVATE, 0),
        ([cc("s-maxage=60")], PRIVATE, 60),
        ([("Expires", IN_AN_HOUR), DATED], PRIVATE, 3600),
        ([("Expires", IN_AN_HOUR)], PRIVATE, 3600),
        ([("Expires", IN_AN_HOUR), ("Date", "nonsense")], PRIVATE, 3600),
        ([("Expires", TODAY), DATED], PRIVATE, 0),
        ([("Expires", TODAY), ("Date", IN_AN_HOUR)], PRIVATE, 0),
        ([("Expires", "0")], PRIVATE, 0),
        ([("Leeward-Cache-Control", "max-age=60"), ("Expires", "0")], PRIVATE, 60),
        ([("CDN-Cache-Control", "max-age=60"), cc("no-store")], SHARED, 60),
        ([("CDN-Cache-Control", "max-age=0"), ("Expires", IN_AN_HOUR), DATED], SHARED, 0),
        ([("Expires", IN_AN_HOUR), ("Expires", IN_AN_HOUR), DATED], PRIVATE, 0),
    ],
)
def test_what_the_origin_says(fields: list[Pair], policy: CachePolicy, seconds: float) -> None:
    assert life(*fields, policy=policy) == Lifetime(seconds=seconds, source=Source.ORIGIN)


def test_a_wrong_wall_clock_changes_nothing_where_the_origin_sends_its_date() -> None:
    for wall in (WALL - 86400, WALL + 86400, 0.0):
        assert life(("Expires", IN_AN_HOUR), DATED, wall=wall).seconds == 3600


@pytest.mark.parametrize("status", [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501])
def test_a_tenth_of_the_time_since_the_last_change(status: int) -> None:
    assert life(HOUR_AGO, DATED, status=status) == Lifetime(seconds=360, source=Source.HEURISTIC)


@pytest.mark.parametrize(
    ("fields", "status", "seconds"),
    [
        ([LONG_AGO, DATED], 200, 3600),
        ([HOUR_AGO, DATED], 403, 0),
        ([HOUR_AGO, DATED, cc("public")], 403, 360),
        ([("Last-Modified", IN_AN_HOUR), DATED], 200, 0),
        ([("Last-Modified", "nonsense"), DATED], 200, 0),
        ([HOUR_AGO, DATED, cc("no-cache")], 200, 0),
        ([], 200, 0),
    ],
)
def test_where_guessing_ends(fields: list[Pair], status: int, seconds: float) -> None:
    assert life(*fields, status=status).seconds == seconds


DEFAULT = CachePolicy(default_ttl=30)
OVERRIDE = CachePolicy(override_ttl=30)
NEGATIVE = CachePolicy(negative_ttl={404: 10, 503: 5}, default_ttl=30)


@pytest.mark.parametrize(
    ("fields", "status", "policy", "seconds", "source"),
    [
        ([], 200, DEFAULT, 30, Source.DEFAULT),
        ([HOUR_AGO, DATED], 200, DEFAULT, 30, Source.DEFAULT),
        ([], 404, DEFAULT, 0, Source.NOBODY),
        ([], 203, DEFAULT, 0, Source.NOBODY),
        ([], 503, DEFAULT, 0, Source.NOBODY),
        ([cc("max-age=5")], 200, DEFAULT, 5, Source.ORIGIN),
        ([cc("max-age=0")], 200, DEFAULT, 0, Source.ORIGIN),
        ([("Expires", "x")], 200, DEFAULT, 0, Source.ORIGIN),
        ([cc("no-cache")], 200, DEFAULT, 0, Source.NOBODY),
        ([cc("private")], 200, DEFAULT, 30, Source.DEFAULT),
        ([cc("max-age=5")], 200, OVERRIDE, 30, Source.OVERRIDE),
        ([cc("max-age=500")], 200, OVERRIDE, 30, Source.OVERRIDE),
        ([], 301, OVERRIDE, 30, Source.OVERRIDE),
        ([], 404, OVERRIDE, 0, Source.NOBODY),
        ([], 500, OVERRIDE, 0, Source.NOBODY),
        ([], 404, NEGATIVE, 10, Source.NEGATIVE),
        ([], 503, NEGATIVE, 5, Source.NEGATIVE),
        ([], 403, NEGATIVE, 0, Source.NOBODY),
        ([cc("max-age=5")], 404, NEGATIVE, 5, Source.ORIGIN),
    ],
)
def test_what_the_operator_says(
    fields: list[Pair], status: int, policy: CachePolicy, seconds: float, source: Source
) -> None:
    assert life(*fields, status=status, policy=policy) == Lifetime(seconds=seconds, source=source)


@pytest.mark.parametrize("policy", [DEFAULT, OVERRIDE])
def test_the_operators_seconds_count_from_now(policy: CachePolicy) -> None:
    assert life(policy=policy, age=500).seconds == 530


@pytest.mark.parametrize(
    ("lines", "age"),
    [
        ([], 0),
        (["7200"], 7200),
        (["007200"], 7200),
        (["-7200"], 0),
        (["7200.0"], 0),
        (["abc"], 0),
        (["7200;x=y"], 0),
        (["2147483649"], 2**31),
        (["7200, 0"], 7200),
        (["0, 7200"], 0),
        (["7200", "0"], 7200),
        (["0", "7200"], 0),
        ([""], 0),
    ],
)
def test_every_spelling_of_age(lines: list[str], age: float) -> None:
    assert initial_age(Headers.of(*(("Age", line) for line in lines)), sent=10, received=10) == age


def test_the_time_that_an_answer_took_is_part_of_its_age() -> None:
    assert initial_age(Headers.of(("Age", "5")), sent=10, received=12.5) == 7.5
    assert initial_age(Headers(), sent=12, received=10) == 0


def test_dated() -> None:
    assert dated(Headers.of(("Date", TODAY)), 5.0) == WALL
    assert dated(Headers.of(("Date", "x")), 5.0) == 5.0


_NAMES = st.sampled_from(["Cache-Control", "Expires", "Date", "Last-Modified", "Age"])
_VALUES = st.binary(max_size=40).map(lambda raw: raw.decode("latin-1")) | st.sampled_from(
    [TODAY, IN_AN_HOUR, "max-age=60", "s-maxage=1", "no-cache", "5"]
)


@given(
    st.lists(st.tuples(_NAMES, _VALUES), max_size=6),
    st.integers(100, 999),
    st.sampled_from([*Scope]),
    st.booleans(),
)
def test_no_fields_raise_or_give_a_negative_lifetime(
    fields: list[Pair], status: int, scope: Scope, override: bool
) -> None:
    policy = CachePolicy(scope=scope, override_ttl=5.0 if override else None)
    assert life(*fields, status=status, policy=policy).seconds >= 0
    assert initial_age(Headers.of(*fields), sent=0, received=1) >= 1
