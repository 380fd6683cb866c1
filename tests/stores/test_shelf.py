from hypothesis import given
from hypothesis import strategies as st

from proxy.core.caching.key import Key
from proxy.stores.shelf import MAIN, PAGE, PIECE, SMALL, Shelf, Variant, tag_name

_DIGEST = st.binary(min_size=32, max_size=32)
_NAME = st.binary(min_size=16, max_size=16)
_CARD = st.builds(
    Variant,
    id=st.integers(0, 1 << 63),
    name=_NAME,
    head_only=st.booleans(),
    floor=st.integers(0, (1 << 63) - 1),
    head=st.integers(0, 1 << 31),
    body=st.integers(0, 1 << 31),
    tags=st.lists(_NAME, max_size=4).map(tuple),
)


@given(
    st.builds(
        Shelf,
        key=st.builds(Key, primary=_DIGEST, place=_DIGEST, upstream=st.text(max_size=9), target=st.text()),
        queue=st.sampled_from([SMALL, MAIN]),
        turn=st.integers(0, 1 << 63),
        uses=st.integers(0, 1 << 31),
        paid=st.integers(0, 1 << 31),
        variants=st.lists(_CARD, max_size=3).map(tuple),
    )
)
def test_a_shelf_is_read_as_it_was_written(shelf: Shelf) -> None:
    found = Shelf.read(shelf.pack())
    assert found == shelf
    assert (found.key.place, found.key.upstream, found.key.target) == (
        shelf.key.place,
        shelf.key.upstream,
        shelf.key.target,
    )


def test_uses_are_counted_as_far_as_there_is_room() -> None:
    key = Key(primary=b"p" * 32, place=b"q" * 32, upstream="api", target="/")
    assert Shelf.read(Shelf(key=key, uses=1 << 40).pack()).uses == (1 << 32) - 1


def card(body: int = 0, name: bytes = b"n" * 16, **more: bool) -> Variant:
    return Variant(id=1, name=name, head_only=more.get("head_only", False), floor=0, head=100, body=body)


def test_weight_is_what_the_file_needs() -> None:
    assert 1100 <= card(1000).weight <= 2 * 1100
    assert card(3000).weight == PAGE
    assert card(PIECE).weight > 16 * PAGE
    assert 1 << 20 < card(1 << 20).weight < (1 << 20) * 1.03


def test_which_variant_replaces_which() -> None:
    assert card().replaces(card())
    assert not card().replaces(card(name=b"m" * 16))
    assert card().replaces(card(head_only=True))
    assert not card(head_only=True).replaces(card())
    assert card(head_only=True).replaces(card(head_only=True))


def test_tags_have_names_of_one_length() -> None:
    assert len({tag_name(""), tag_name("red"), tag_name("\udcff")}) == 3
    assert {len(tag_name(tag)) for tag in ("", "red" * 100)} == {16}
