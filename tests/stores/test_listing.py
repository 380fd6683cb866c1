from proxy.core.caching.key import Key
from proxy.core.caching.purge import Purge
from proxy.stores.listing import meant_of, slices
from proxy.stores.shelf import Shelf, Variant, tag_name

CARDS = tuple(
    Variant(id=number, name=b"n" * 16, head_only=False, floor=0, head=0, body=0, tags=(tag_name(tag),))
    for number, tag in enumerate(("red", "blue"))
)
SHELF = Shelf(key=Key(primary=b"p" * 32, place=b"q" * 32, upstream="api", target="/a/b?q=1"), variants=CARDS)


def test_what_a_purge_means_of_a_key() -> None:
    assert meant_of(SHELF, Purge()) == CARDS
    assert meant_of(SHELF, Purge(tag="red")) == CARDS[:1]
    assert meant_of(SHELF, Purge(path="/a/*", upstream="api")) == CARDS
    assert meant_of(SHELF, Purge(path="/a")) == ()
    assert meant_of(SHELF, Purge(upstream="other", tag="red")) == ()


def test_much_is_changed_in_slices() -> None:
    names = [bytes([number % 256, number // 256]) for number in range(500)]
    parts = list(slices(names))
    assert [name for part in parts for name in part] == names
    assert max(len(part) for part in parts) <= 200
    assert list(slices([])) == []
