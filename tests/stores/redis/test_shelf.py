import json
from dataclasses import replace

import pytest

from proxy.stores import codec
from proxy.stores.codec import Instant, UnreadableError
from proxy.stores.redis.names import member
from proxy.stores.redis.shelf import Shelf, field_name, listed, read
from tests.stores.contract import KEPT, key, variant

ROWS = {"0a": [1, 10, 0, ""], "1b": [3, 20, 5, "red blue"], "0c": [2, 30, 0, "red"]}
FIELDS = {
    b"@": json.dumps({"upstream": "api", "target": "/\xe4"}).encode(),
    b"#": json.dumps(ROWS).encode(),
    b"~": b"1795360373582292",
    b"%": b"7",
}


def test_the_newest_comes_first() -> None:
    shelf = Shelf.of(FIELDS, name="p.k")
    assert [name for name, _ in shelf.variants] == [b"1b", b"0c", b"0a"]
    assert (shelf.upstream, shelf.target, shelf.uses, shelf.came) == ("api", "/\xe4", 7, 1795360373582292)
    assert [name for name, _ in shelf.having("red")] == [b"1b", b"0c"]
    assert len(shelf.having(None)) == 3


@pytest.mark.parametrize("broken", [b"{", b"[]", b'{"0a": 1}', b'{"0a": [1, 2]}', b"\xff"])
def test_what_is_not_understood_has_nothing(broken: bytes) -> None:
    assert Shelf.of({**FIELDS, b"#": broken}).variants == ()


def test_a_variant_has_a_name_for_each_kind() -> None:
    one, other = field_name(variant("one"))
    assert (one[0], other[0]) == ("0", "1")
    assert one[1:] == other[1:] != field_name(variant("two"))[0][1:]
    assert field_name(replace(variant("one"), head_only=True)) == (other, "")


def test_clocks_that_differ_by_a_little_make_nothing_younger() -> None:
    here = Instant(now=5000.0, wall=1_000_000.0)
    name = key().primary
    head = codec.head(replace(KEPT, received=5000.0), name=name, at=here)
    found = read(head, KEPT.body, name=name, at=Instant(now=9.0, wall=1_000_000.0 - 0.02))
    assert 9.0 - 0.05 <= found.received <= 9.0
    with pytest.raises(UnreadableError):
        read(head, KEPT.body, name=name, at=Instant(now=9.0, wall=999_999.0))
    with pytest.raises(UnreadableError):
        read(head, KEPT.body, name=b"another", at=here)


def test_a_listing_names_the_key() -> None:
    shelf = replace(Shelf.of(FIELDS), name=member(key()))
    (kept,) = listed(shelf, [(b"0a", b"head"), (b"0c", None)], lambda _head, _body, _name: KEPT)
    assert (kept.key, kept.key.place, kept.uses, kept.size) == (key(), key().place, 7, 10)
    assert listed(shelf, [(b"0a", b"head")], lambda _head, _body, _name: None) == []
