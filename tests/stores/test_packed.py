from dataclasses import replace

import pytest

from proxy.core.caching.entry import Entry
from proxy.core.message import Headers
from proxy.stores import packed
from tests.core.caching.samples import entry
from tests.stores.contract import KEPT, RICH, VARIED, key

USUAL = entry(
    ("Server", "nginx/1.22.1"),
    ("Date", "Sun, 22 Nov 2026 21:14:47 GMT"),
    ("Content-Type", "application/json; charset=utf-8"),
    ("Content-Length", "1024"),
    ("Last-Modified", "Sun, 22 Nov 2026 20:00:00 GMT"),
    ("ETag", '"656f1c2a-400"'),
    ("Cache-Control", "public, max-age=3600"),
    ("Accept-Ranges", "bytes"),
    ("X-Request-Id", "0f3b2c9a7d1e4f5a8b6c"),
    body=b"b" * 1024,
)
ODD = replace(KEPT, headers=Headers([(b"X-Odd", b"two\nlines\0"), (b"", b""), (b"\n", b"\xff")]))
BARE = replace(KEPT, headers=Headers(), body=b"")


@pytest.mark.parametrize("placed", [True, False])
@pytest.mark.parametrize(
    "kept", [(KEPT,), (RICH,), (USUAL,), (ODD,), (BARE,), (VARIED, RICH, ODD, BARE)], ids=len
)
def test_what_is_packed_comes_out_as_it_was(kept: tuple[Entry, ...], placed: bool) -> None:
    where = key("/a/\xe4\udcff?q=1", identity="one")
    packing = packed.Packing()
    # What the first that had the same fields was like makes no difference.
    packing.pack(where, 1, [replace(one, status=204, etag=None) for one in kept], placed=True, content=True)
    record = packing.pack(where, 7, kept, placed=placed, content=True)
    name = where.place if placed else where.primary
    assert packing.entries(name, record) == kept
    assert [type(value) for value in vars_of(packing.entries(name, record)[0])] == [
        type(value) for value in vars_of(kept[0])
    ]
    found = packed.key(name, record)
    assert found == where
    assert (found.place, found.upstream, found.target) == (where.place, where.upstream, where.target)
    assert (packed.primary(record), packed.seat(record)) == (where.primary, 7)
    assert packed.variants(record) == len(kept)
    assert packed.tagged(record) == any(one.tags for one in kept)


def vars_of(one: Entry) -> list[object]:
    return [getattr(one, name) for name in Entry.__slots__]


def test_without_content_it_tells_the_key() -> None:
    record = packed.Packing().pack(key(), 3, (RICH, KEPT), placed=True, content=False)
    assert packed.key(key().place, record).target == key().target
    assert (packed.seat(record), packed.variants(record), packed.tagged(record)) == (3, 2, True)
    assert len(record) < 100


def test_a_kilobyte_takes_little_more() -> None:
    packing = packed.Packing()
    for number in range(2):
        tag = f'"{number}56f1c2a-400"'
        headers = USUAL.headers.replacing("etag", tag)
        another = replace(USUAL, headers=headers, etag=tag, received=USUAL.received + number)
        record = packing.pack(key("/repos/octo/one"), 3, (another,), placed=True, content=True)
    assert len(record) < 1024 + 200


def test_what_is_remembered_of_heads_is_bounded() -> None:
    packing = packed.Packing()
    for number in range(3000):
        odd = replace(KEPT, headers=Headers([(b"X-%d" % number, b"1")]))
        record = packing.pack(key(), 3, (odd,), placed=True, content=True)
        assert packing.entries(key().place, record) == (odd,)
    long = replace(KEPT, headers=Headers([(b"X-Long", b"v" * 60_000)]))
    assert len(packing._patterns) == 1024
    packing = packed.Packing()
    record = packing.pack(key(), 3, (long,), placed=True, content=True)
    assert packing.entries(key().place, record) == (long,)
    assert packing._patterns == []
