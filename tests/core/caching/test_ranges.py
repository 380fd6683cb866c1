from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.caching.entry import Entry
from proxy.core.caching.ranges import (
    Beyond,
    Lacking,
    Part,
    Reach,
    Whole,
    Wish,
    completes,
    completing,
    content,
    joined,
    reach,
    told,
    wished,
)
from proxy.core.message import Headers
from tests.core.caching.samples import TODAY, Pair, entry, request

ALL = b"0123456789"
FRESH = ("Cache-Control", "max-age=60")
TAGGED = ("ETag", '"a"')
CHANGED = ("Last-Modified", "Wed, 15 Jul 2026 12:49:58 GMT")

KEPT = entry(FRESH, TAGGED, CHANGED, ("Date", TODAY), body=ALL)


def part(first: int, last: int, *fields: Pair, total: int = 10, body: bytes = ALL) -> Entry:
    """These bytes of `body` as they come with a 206."""
    place = ("Content-Range", f"bytes {first}-{last}/{total}")
    asked = (("Range", "bytes=0-"),)
    return entry(FRESH, place, *(fields or (TAGGED,)), asked=asked, status=206, body=body[first : last + 1])


@pytest.mark.parametrize(
    ("lines", "wish"),
    [
        (["bytes=0-4"], Wish(first=0, last=4)),
        (["BYTES=5-"], Wish(first=5, last=None)),
        (["bytes= -5"], Wish(first=None, last=5)),
        ([], None),
        (["bytes=-"], None),
        (["bytes=4-0"], None),
        (["bytes=0-1,3-4"], None),
        (["bytes=0-1", "bytes=3-4"], None),
        (["bytes 0-1"], None),
        (["lines=0-1"], None),
        (["bytes=a-b"], None),
        (["bytes=0-1234567890123456"], None),
    ],
)
def test_wished(lines: list[str], wish: Wish | None) -> None:
    assert wished(Headers.of(*(("Range", line) for line in lines))) == wish


@pytest.mark.parametrize(
    ("lines", "place"),
    [
        (["bytes 0-4/10"], (0, 4, 10)),
        (["bytes 9-9/10"], (9, 9, 10)),
        (["bytes 0-4/*"], None),
        (["bytes */10"], None),
        (["bytes 4-0/10"], None),
        (["bytes 0-10/10"], None),
        (["lines 0-4/10"], None),
        (["bytes 0-4/10", "bytes 0-4/10"], None),
        ([], None),
    ],
)
def test_told(lines: list[str], place: tuple[int, int, int] | None) -> None:
    assert told(Headers.of(*(("Content-Range", line) for line in lines))) == place


def cut(first: int, last: int) -> Part:
    return Part(first=first, last=last, total=10)


@pytest.mark.parametrize(
    ("kept", "asked", "found"),
    [
        (KEPT, [], Whole()),
        (KEPT, ["bytes=0-1"], cut(0, 1)),
        (KEPT, ["bytes=3-"], cut(3, 9)),
        (KEPT, ["bytes=3-100"], cut(3, 9)),
        (KEPT, ["bytes=-3"], cut(7, 9)),
        (KEPT, ["bytes=-30"], cut(0, 9)),
        (KEPT, ["bytes=10-"], Beyond()),
        (KEPT, ["bytes=-0"], Beyond()),
        (KEPT, ["bytes=0-1", '"a"'], cut(0, 1)),
        # The caller's parts are of something else, or nobody knows: it gets the whole.
        (KEPT, ["bytes=0-1", '"b"'], Whole()),
        (KEPT, ["bytes=0-1", 'W/"a"'], Whole()),
        (KEPT, ["bytes=0-1", CHANGED[1]], cut(0, 1)),
        (KEPT, ["bytes=0-1", TODAY], Whole()),
        (replace(KEPT, modified=KEPT.date), ["bytes=0-1", CHANGED[1]], Whole()),
        (replace(KEPT, etag='W/"a"'), ["bytes=0-1", 'W/"a"'], Whole()),
        (replace(KEPT, status=404), ["bytes=0-1"], Whole()),
        # What is stored is a part itself.
        (part(2, 5), ["bytes=2-5"], cut(2, 5)),
        (part(2, 5), ["bytes=3-4"], cut(3, 4)),
        (part(2, 5), ["bytes=1-4"], Lacking()),
        (part(2, 5), ["bytes=3-"], Lacking()),
        (part(2, 5), ["bytes=10-"], Beyond()),
        (part(5, 9), ["bytes=-2"], cut(8, 9)),
        (part(2, 5), [], Lacking()),
        (part(0, 4), [], Lacking(missing=(5, 9))),
        (part(5, 9), [], Lacking(missing=(0, 4))),
        (part(0, 4, CHANGED), [], Lacking()),
        (part(0, 4, ("ETag", 'W/"a"')), [], Lacking()),
    ],
)
def test_reach(kept: Entry, asked: list[str], found: Reach) -> None:
    assert reach(request(*zip(("Range", "If-Range"), asked, strict=False)), kept) == found


def test_two_conditions_are_none_that_holds() -> None:
    asked = request(("Range", "bytes=0-1"), ("If-Range", '"a"'), ("If-Range", '"a"'))
    assert reach(asked, KEPT) == Whole()


def test_a_head_wants_it_whole() -> None:
    asked = request(("Range", "bytes=0-1"), method="HEAD")
    assert (reach(asked, KEPT), reach(asked, part(0, 4))) == (Whole(), Lacking())


def test_content() -> None:
    assert content(KEPT, cut(2, 4)) == b"234"
    assert content(part(2, 5), cut(3, 5)) == b"345"


def test_the_rest_is_asked_for_on_condition() -> None:
    asked = completing(request(("If-None-Match", '"x"'), ("Accept", "y")), part(0, 4), (5, 9))
    assert asked.headers == Headers.of(("Accept", "y"), ("Range", "bytes=5-"), ("If-Range", '"a"'))
    assert completing(request(), part(5, 9), (0, 4)).headers.get("range") == "bytes=0-4"


@pytest.mark.parametrize(
    ("fields", "whole"),
    [
        ([("Content-Range", "bytes 5-9/10"), TAGGED], True),
        ([("Content-Range", "bytes 5-9/10"), ("ETag", '"b"')], False),
        ([("Content-Range", "bytes 5-9/10")], False),
        ([("Content-Range", "bytes 6-9/10"), TAGGED], False),
        ([("Content-Range", "bytes 5-9/11"), TAGGED], False),
        ([TAGGED], False),
    ],
)
def test_completes(fields: list[Pair], whole: bool) -> None:
    assert completes(part(0, 4), (5, 9), Headers.of(*fields)) is whole


@pytest.mark.parametrize(
    ("stored", "came", "kept"),
    [
        (None, (0, 4), (0, 4)),
        ((0, 4), (5, 7), (0, 7)),
        ((5, 7), (0, 4), (0, 7)),
        ((2, 5), (4, 7), (2, 7)),
        ((2, 7), (4, 5), (2, 7)),
        ((4, 5), (2, 7), (2, 7)),
        # With a gap between them the newer one is kept.
        ((0, 3), (5, 7), (5, 7)),
        ((5, 7), (0, 3), (0, 3)),
    ],
)
def test_joined(stored: tuple[int, int] | None, came: tuple[int, int], kept: tuple[int, int]) -> None:
    together = joined(None if stored is None else part(*stored), part(*came))
    assert together is not None
    assert together.span == (*kept, 10)
    assert together.body == ALL[kept[0] : kept[1] + 1]


def test_parts_become_a_whole_with_the_newer_fields() -> None:
    together = joined(part(0, 4, TAGGED, ("A", "1"), ("B", "1")), part(5, 9, TAGGED, ("A", "2")))
    assert together is not None
    assert (together.status, together.span, together.body) == (200, None, ALL)
    assert dict(together.headers) == {
        "cache-control": "max-age=60",
        "etag": '"a"',
        "content-length": "10",
        "a": "2",
        "b": "1",
        "date": TODAY,
    }


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (TAGGED, ("ETag", '"b"')),
        (TAGGED, CHANGED),
        (CHANGED, CHANGED),
        (("ETag", 'W/"a"'), ("ETag", 'W/"a"')),
    ],
    ids=["another tag", "no tag", "only dates", "weak tags"],
)
def test_parts_of_what_may_be_different_are_not_put_together(one: Pair, other: Pair) -> None:
    together = joined(part(0, 4, one), part(5, 9, other))
    assert together is not None
    assert together.span == (5, 9, 10)


def test_what_is_kept_whole_is_not_replaced_by_a_part_of_it() -> None:
    assert joined(KEPT, part(0, 4)) is None
    other = part(0, 4, ("ETag", '"b"'))
    assert joined(KEPT, other) is other
    assert joined(part(0, 4), KEPT) is KEPT


def test_a_part_of_another_length_than_it_told_is_not_kept() -> None:
    assert joined(None, part(0, 4).holding(b"0123")) is None
    assert joined(part(0, 4), part(5, 9).holding(b"")) is None
    # Of a whole of another size it is no part.
    other = part(5, 9, total=11)
    assert joined(part(0, 4), other) is other


_RANGES = st.tuples(st.integers(0, 9), st.integers(0, 9)).map(lambda pair: (min(pair), max(pair)))


@given(st.lists(_RANGES, min_size=1, max_size=6))
def test_whatever_parts_come_what_is_kept_is_a_part_of_the_same(places: list[tuple[int, int]]) -> None:
    kept: Entry | None = None
    for first, last in places:
        kept = joined(kept, part(first, last)) or kept
        assert kept is not None
        begin, end, _ = kept.span or (0, 9, 10)
        assert kept.body == ALL[begin : end + 1]


@given(st.binary(max_size=60).map(lambda raw: raw.decode("latin-1")), st.binary(max_size=30))
def test_no_text_raises(text: str, raw: bytes) -> None:
    fields = Headers.of(("Range", text), ("Content-Range", text), ("If-Range", raw.decode("latin-1")))
    wished(fields)
    told(fields)
    found = reach(request(("Range", "bytes=0-1"), ("If-Range", raw.decode("latin-1"))), KEPT)
    assert isinstance(found, Whole | Part)
