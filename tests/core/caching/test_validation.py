import pytest

from proxy.core.caching.validation import (
    agrees,
    asks,
    conditional,
    confirms,
    merged,
    unchanged,
    without_content,
)
from proxy.core.message import Headers
from tests.core.caching.samples import TODAY, WALL, Pair, entry, request

EARLIER = "Wed, 15 Jul 2026 12:00:00 GMT"
LATER = "Wed, 15 Jul 2026 12:55:00 GMT"
FRESH = ("Cache-Control", "max-age=60")


def inm(value: str) -> Pair:
    return ("If-None-Match", value)


def ims(value: str) -> Pair:
    return ("If-Modified-Since", value)


def test_the_condition_is_ours_and_the_rest_the_callers() -> None:
    kept = entry(FRESH, ("ETag", 'W/"a"'), ("Last-Modified", TODAY))
    asked = request(("Foo", "1"), inm('"theirs"'), ims(EARLIER))
    assert conditional(asked, kept).headers == Headers.of(("Foo", "1"), inm('W/"a"'), ims(TODAY))
    assert conditional(request(), entry(("ETag", '"a"'))).headers == Headers.of(inm('"a"'))


@pytest.mark.parametrize(("fields", "given"), [([], False), ([inm("*")], True), ([ims("x")], True)])
def test_asks(fields: list[Pair], given: bool) -> None:
    assert asks(request(*fields)) is given


@pytest.mark.parametrize(
    ("fields", "stored", "answer"),
    [
        ([inm('"a"')], [("ETag", '"a"')], True),
        ([inm('W/"a"')], [("ETag", '"a"')], True),
        ([inm('"a"')], [("ETag", 'W/"a"')], True),
        ([inm('"b", "a"')], [("ETag", '"a"')], True),
        ([inm('"b"'), inm('"a"')], [("ETag", '"a"')], True),
        ([inm('"b"')], [("ETag", '"a"')], False),
        ([inm("a")], [("ETag", '"a"')], False),
        ([inm('"a"')], [], False),
        ([inm("*")], [], True),
        ([inm('"a"'), ims(EARLIER)], [("ETag", '"a"'), ("Last-Modified", TODAY)], True),
        ([inm('"b"'), ims(LATER)], [("ETag", '"a"'), ("Last-Modified", TODAY)], False),
        ([ims(TODAY)], [("Last-Modified", TODAY)], True),
        ([ims(LATER)], [("Last-Modified", TODAY)], True),
        ([ims(EARLIER)], [("Last-Modified", TODAY)], False),
        ([ims("Wednesday, 15-Jul-26 12:50:00 GMT")], [("Last-Modified", TODAY)], True),
        ([ims("nonsense")], [("Last-Modified", TODAY)], False),
        ([ims(LATER), ims(LATER)], [("Last-Modified", TODAY)], False),
        ([ims(LATER)], [("Date", TODAY)], True),
        ([ims(EARLIER)], [("Date", TODAY)], False),
        ([], [("ETag", '"a"')], False),
    ],
)
def test_unchanged(fields: list[Pair], stored: list[Pair], answer: bool) -> None:
    assert unchanged(request(*fields), entry(FRESH, *stored), WALL) is answer


def test_a_stored_failure_is_never_not_modified() -> None:
    assert not unchanged(request(inm("*")), entry(FRESH, ("ETag", '"a"'), status=404), WALL)


@pytest.mark.parametrize(
    ("stored", "news", "answer"),
    [
        ([("ETag", '"a"')], [("ETag", '"a"')], True),
        ([("ETag", '"a"')], [("ETag", 'W/"a"')], True),
        ([("ETag", '"a"')], [("ETag", '"b"')], False),
        ([("ETag", '"a"')], [], True),
        ([("Last-Modified", TODAY)], [("ETag", '"b"')], True),
    ],
)
def test_confirms(stored: list[Pair], news: list[Pair], answer: bool) -> None:
    assert confirms(entry(FRESH, *stored), Headers.of(*news)) is answer


def test_a_304_updates_what_it_names() -> None:
    stored = Headers.of(("A", "1"), ("B", "1"), ("b", "2"), ("Content-Length", "5"), ("Content-Type", "x"))
    news = Headers.of(
        *(("B", "3"), ("C", "1"), ("Content-Length", "0"), ("Content-Type", "y"), ("Age", "7")),
        *(("Set-Cookie", "a=b"), ("Connection", "X-Hop"), ("X-Hop", "1"), ("Content-Encoding", "gzip")),
    )
    assert merged(stored, news) == Headers.of(
        ("A", "1"), ("Content-Length", "5"), ("B", "3"), ("C", "1"), ("Content-Type", "y"), ("Age", "7")
    )


def test_a_304_keeps_what_is_not_about_content() -> None:
    fields = Headers.of(("ETag", '"a"'), ("Content-Length", "5"), ("Content-Location", "/b"), ("X", "1"))
    assert without_content(fields) == Headers.of(("ETag", '"a"'), ("Content-Location", "/b"), ("X", "1"))


@pytest.mark.parametrize(
    ("fields", "answer"),
    [
        ([], True),
        ([("Content-Length", "4"), ("ETag", '"a"'), ("Last-Modified", TODAY)], True),
        ([("Content-Length", "5")], False),
        ([("ETag", '"b"')], False),
        ([("ETag", 'W/"a"')], False),
        ([("Last-Modified", EARLIER)], False),
    ],
)
def test_agrees(fields: list[Pair], answer: bool) -> None:
    kept = entry(FRESH, ("ETag", '"a"'), ("Last-Modified", TODAY), body=b"body")
    assert agrees(kept, Headers.of(*fields)) is answer
    assert agrees(entry(FRESH), Headers.of(*fields[:1])) is (not fields)
