from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.caching.syntax import MOST_SECONDS, entity_tags, http_date, instant, seconds, split, unquote
from tests.core.caching.samples import TODAY, WALL


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("", []),
        (" , ,", []),
        ("a, b ,c", ["a", "b", "c"]),
        ('a="x, y", b', ['a="x, y"', "b"]),
        (r'a="x\", y", b', [r'a="x\", y"', "b"]),
        ('a="x, no-store', ["a= x", "no-store"]),
        ('ok, a="x", b="y, no-store', ["ok", 'a="x"', "b= y", "no-store"]),
    ],
)
def test_split(text: str, members: list[str]) -> None:
    assert list(split(text)) == members


def test_split_reads_a_hostile_value_in_one_go() -> None:
    assert len(list(split('"' + '\\"' * 8000 + "," * 8000))) <= 8001


@pytest.mark.parametrize(
    ("text", "value"), [('"60"', "60"), (r'"a\"b"', 'a"b'), ("60", "60"), ('"', '"'), ('""', "")]
)
def test_unquote(text: str, value: str) -> None:
    assert unquote(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("003600", 3600),
        ("2147483648", MOST_SECONDS),
        ("2147483649", MOST_SECONDS),
        ("9" * 4000, MOST_SECONDS),
        ("", None),
        ("-1", None),
        ("+1", None),
        ("1.0", None),
        ("1 ", None),
        ("0x1", None),
        ("1_0", None),
        ("١", None),  # noqa: RUF001 - a digit of another script is the point
        ("²", None),
        ("'60'", None),
    ],
)
def test_seconds(text: str, value: int | None) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (TODAY, WALL),
        (TODAY.upper(), WALL),
        (TODAY.lower(), WALL),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784111777),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 784111777),
        ("Sun Nov  6 08:49:37 1994", 784111777),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Thu, 29 Feb 2024 00:00:00 GMT", 1709164800),
        ("Fri, 01 Mar 2024 00:00:00 GMT", 1709251200),
        ("Wed, 01 Mar 2000 00:00:00 GMT", 951868800),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 253402300799),
        ("Wednesday, 15-Jul-26 12:50:00 GMT", WALL),
        ("Thursday, 01-Jan-76 00:00:00 GMT", 3345062400),  # 50 years ahead is still ahead
        ("Saturday, 01-Jan-77 00:00:00 GMT", 220924800),  # 51 are not
        ("0", None),
        ("-1", None),
        ("", None),
        ("Wed, 15 Jul 2026 12:50:00 UTC", None),
        ("Wed, 15 Jul 2026 12:50:00 AEST", None),
        ("Wed, 15 Jul 26 12:50:00 GMT", None),
        ("Wed 15 Jul 2026 12:50:00 GMT", None),
        ("Wed,  15 Jul 2026 12:50:00 GMT", None),
        ("Wed, 15-Jul-2026 12:50:00 GMT", None),
        ("Wed, 15 Jul 2026 12.50.00 GMT", None),
        ("Wed, 15 Jul 2026 1:50:00 GMT", None),
        ("Wed, 32 Jul 2026 12:50:00 GMT", None),
        ("Wed, 15 Jul 2026 24:50:00 GMT", None),
        ("Wed, 15 Jul 2026 12:60:00 GMT", None),
        ("2026-07-15T12:50:00Z", None),
    ],
)
def test_instant(text: str, value: float | None) -> None:
    assert instant(text, WALL) == value


@given(st.integers(0, 253402300799))
def test_a_date_is_read_as_it_was_written(when: int) -> None:
    assert instant(http_date(when), when) == when
    assert http_date(when + 0.9) == http_date(when) == formatdate(when, usegmt=True)


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ('"a"', ['"a"']),
        ('W/"a", "b"', ['"a"', '"b"']),
        ('"a,b" , "c"', ['"a,b"', '"c"']),
        (r'"a\"', [r'"a\"']),
        ("*", ["*"]),
        ("a", ["a"]),
        ("", []),
    ],
)
def test_entity_tags(text: str, tags: list[str]) -> None:
    assert list(entity_tags(text)) == tags


@given(st.binary(max_size=200).map(lambda raw: raw.decode("latin-1")))
def test_nothing_raises(text: str) -> None:
    list(split(text))
    list(entity_tags(text))
    unquote(text)
    seconds(text)
    instant(text, WALL)
