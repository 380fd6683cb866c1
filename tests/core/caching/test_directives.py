import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.caching.directives import of_request, of_response, parse
from proxy.core.caching.policy import Scope
from proxy.core.caching.syntax import MOST_SECONDS
from proxy.core.message import Headers

SHARED, PRIVATE = Scope.SHARED, Scope.CREDENTIAL


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("max-age=60", 60),
        ("MAX-AGE=60", 60),
        ('max-age="60"', 60),
        (" ,,max-age=60, ", 60),
        ("foobar, max-age=60", 60),
        ("max-age=99999999999", MOST_SECONDS),
        ("max-age=60, max-age=1", 1),
        ("max-age=1, max-age=60", 1),
        ('extension="max-age=3600", max-age=1', 1),
        ('max-age=1, extension="max-age=3600"', 1),
        ("max-age", 0),
        ("max-age=", 0),
        ("max-age='60'", 0),
        ("max-age=60.0", 0),
        ("max-age=-60", 0),
        ("max-age=60a", 0),
        ("max-age=60;", 0),
        ("max-age= 60", 0),
        ("max-age=60, max-age=x", 0),
        ("s-maxage=60", None),
        ("xmax-age=60", None),
        ("max-age x=60", None),
    ],
)
def test_seconds(text: str, value: int | None) -> None:
    assert parse(text).seconds("max-age") == value


def test_a_malformed_wish_for_freshness_is_the_largest_one() -> None:
    assert parse("min-fresh=x").seconds("min-fresh") == MOST_SECONDS
    assert parse("min-fresh=5, min-fresh=9").seconds("min-fresh") == 9


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("max-stale", float("inf")),
        ("max-stale=5", 5),
        ("max-stale=5, max-stale", 5),
        ("max-stale=x", 0),
        ("max-age=1", None),
    ],
)
def test_patience(text: str, value: float | None) -> None:
    assert parse(text).patience() == value


@pytest.mark.parametrize(
    "text", ["no-store", "No-StOrE", "no-store=x", 'a="b, no-store', 'no-store="', "no-store =", "x,no-store"]
)
def test_no_store_cannot_be_hidden(text: str) -> None:
    assert "no-store" in parse(text)


def test_several_lines_are_one_list() -> None:
    said = of_response(Headers.of(("Cache-Control", "max-age=60"), ("cache-control", "no-store")), SHARED)
    assert "no-store" in said
    assert said.seconds("max-age") == 60


@pytest.mark.parametrize(
    ("fields", "given"),
    [
        ([("Pragma", "no-cache")], True),
        ([("Pragma", "No-Cache, x")], True),
        ([("Pragma", "unknown")], False),
        ([("Pragma", "no-cache"), ("Cache-Control", "max-age=1")], False),
        ([], False),
    ],
)
def test_pragma_speaks_where_cache_control_is_silent(fields: list[tuple[str, str]], given: bool) -> None:
    assert ("no-cache" in of_request(Headers.of(*fields))) is given


def test_a_response_pragma_means_nothing() -> None:
    assert not of_response(Headers.of(("Pragma", "no-cache")), SHARED)


CC, CDN, LEEWARD = "Cache-Control", "CDN-Cache-Control", "Leeward-Cache-Control"


@pytest.mark.parametrize(
    ("fields", "scope", "seconds", "targeted"),
    [
        ([(CDN, "max-age=60")], SHARED, 60, True),
        ([(CDN, "max-age=60"), (CC, "max-age=1")], SHARED, 60, True),
        ([(CDN, "max-age=1"), (CC, "max-age=60")], SHARED, 1, True),
        ([(CDN, "max-age=60, max-age=1")], SHARED, 1, True),
        ([(CDN, "max-age=99999999999")], SHARED, MOST_SECONDS, True),
        ([(CDN, "foobar, max-age=60")], SHARED, 60, True),
        # One for the CDNs does not speak to a cache of one credential; one for us speaks to both.
        ([(CDN, "max-age=60"), (CC, "max-age=1")], PRIVATE, 1, False),
        ([(LEEWARD, "max-age=60"), (CC, "max-age=1")], PRIVATE, 60, True),
        ([(CDN, "max-age=1"), (LEEWARD, "max-age=60")], SHARED, 60, True),
        ([(LEEWARD, "max-age 60"), (CDN, "max-age=5"), (CC, "max-age=1")], SHARED, 5, True),
        # What cannot be read, or is empty, was not sent.
        ([(CDN, "max-age=60, &&&"), (CC, "max-age=1")], SHARED, 1, False),
        ([(CDN, "MaX-aGe=60"), (CC, "max-age=1")], SHARED, 1, False),
        ([(CDN, "max-age =60"), (CC, "max-age=1")], SHARED, 1, False),
        ([(CDN, ""), (CC, "max-age=1")], SHARED, 1, False),
        # A value of the wrong type is the strictest one.
        ([(CDN, 'max-age="60"')], SHARED, 0, True),
        ([(CDN, "max-age=60.5")], SHARED, 0, True),
        ([(CDN, "max-age=-1")], SHARED, 0, True),
    ],
)
def test_targeted_fields(
    fields: list[tuple[str, str]], scope: Scope, seconds: int | None, targeted: bool
) -> None:
    said = of_response(Headers.of(*fields), scope)
    assert said.seconds("max-age") == seconds
    assert said.targeted is targeted


_TEXT = st.binary(max_size=200).map(lambda raw: raw.decode("latin-1"))
_LIKELY = st.lists(st.sampled_from([*'",= \t\\;', "max-age", "no-store", "60", "x"])).map("".join)


@given(_TEXT | _LIKELY)
def test_parsing_never_raises(text: str) -> None:
    said = parse(text)
    for name in said.given:
        number = said.seconds(name)
        assert number is not None
        assert 0 <= number <= MOST_SECONDS
    patience = said.patience()
    assert patience is None or patience >= 0


def test_long_values_are_read_but_not_remembered() -> None:
    assert "no-store" in parse("x" * 1000 + ", no-store")
