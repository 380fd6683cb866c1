from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.core.caching.key import Key
from proxy.stores.folder import enter
from proxy.stores.shelf import PIECE, Shelf, Variant, tag_name
from proxy.stores.volume import Change, Volume

ROOM = 200_000


def key(number: int, place: int = 0) -> Key:
    name = number.to_bytes(2).ljust(32, b"k")
    return Key(primary=name, place=place.to_bytes(2).ljust(32, b"p"), upstream="api", target=f"/{number}")


def card(body: int, name: int = 0, *tags: str) -> Variant:
    names = tuple(tag_name(tag) for tag in tags)
    return Variant(id=0, name=name.to_bytes(16), head_only=False, floor=0, head=0, body=body, tags=names)


def keep(volume: Volume, of: Key, size: int, name: int = 0, *tags: str) -> bool:
    return volume.change({}, lambda change: change.keep(of, card(size, name, *tags), bytes(size)))[0]


def shelf(volume: Volume, of: Key) -> Shelf | None:
    with volume.reading() as reading:
        return volume.shelf(reading, of.primary)


def audit(volume: Volume) -> None:
    """The books say what is there, and every index names just that."""
    with volume.reading() as reading:
        shelves = [volume.shelf(reading, name) for name in volume.names(reading)]
        found = [there for there in shelves if there is not None]
        assert volume.counts() == (
            sum(len(there.variants) for there in found),
            sum(there.weight for there in found),
        )
        cards = {one.id: there.key.primary for there in found for one in there.variants}
        assert dict(volume.newest(reading)) == cards
        for there in found:
            for one in there.variants:
                assert len(volume.record(reading, one)) == one.body
                for tag in one.tags:
                    assert there.key.primary in set(volume.tagged(reading, tag))
        counted = {
            name: reading.stat(db=getattr(volume, name))["entries"]
            for name in ("shelves", "places", "turns", "tags")
        }
        worn = {(tag, there.key.primary) for there in found for one in there.variants for tag in one.tags}
        assert counted == {**dict.fromkeys(("shelves", "places", "turns"), len(found)), "tags": len(worn)}


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Volume]:
    opened = enter(tmp_path / "cache", room=ROOM)
    yield opened.volume
    audit(opened.volume)
    opened.leave()


_STEP = st.tuples(
    st.sampled_from(["keep", "keep", "keep", "use", "remove", "place", "tag"]),
    st.integers(0, 19),
    st.integers(0, 2 * PIECE),
)
_TAGS = ("even", "odd", "third")


@given(st.lists(_STEP, max_size=40))
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_bound_holds_and_the_books_balance(volume: Volume, steps: list[tuple[str, int, int]]) -> None:
    for action, number, size in steps:
        of = key(number, number % 5)

        def act(change: Change) -> object:
            match action:  # noqa: B023 - called at once
                case "keep":
                    tags = _TAGS[size % 2 : 1 + size % 3]  # noqa: B023
                    return change.keep(of, card(size, size % 3, *tags), bytes(size))  # noqa: B023
                case "use":
                    change.use({of.primary: size % 4})  # noqa: B023
                    return None
                case "remove":
                    return change.remove(of.primary, None, "purged")  # noqa: B023
                case "place":
                    return [change.remove(name, None, "gone") for name in change.at(of.place)]  # noqa: B023
                case _:
                    return change.remove_all("purged") if size % 9 == 0 else None  # noqa: B023

        volume.change({}, act)
        assert volume.counts()[1] <= ROOM
        audit(volume)
    volume.change({}, lambda change: change.remove_all("purged"))
    assert volume.counts() == (0, 0)


def test_what_was_asked_for_again_stays(volume: Volume) -> None:
    for number in range(3):
        keep(volume, key(number), 30_000)
    volume.change({key(0).primary: 1}, lambda _change: None)
    for number in range(3, 40):
        keep(volume, key(number), 30_000)
    assert shelf(volume, key(0)) is not None
    assert shelf(volume, key(1)) is None


def test_what_went_is_told(volume: Volume) -> None:
    gone: list[str] = []
    for number in range(10):
        work = partial(Change.keep, key=key(number), card=card(50_000), record=bytes(50_000))
        gone += volume.change({}, work)[1]
    assert gone == ["size"] * (10 - volume.counts()[0])
    assert gone


def test_a_change_that_fails_changes_nothing(volume: Volume) -> None:
    keep(volume, key(1), 1000)
    before = volume.counts()

    def fail(change: Change) -> None:
        change.keep(key(2), card(1000), bytes(1000))
        change.remove(key(1).primary, None, "purged")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        volume.change({}, fail)
    assert volume.counts() == before
    assert shelf(volume, key(2)) is None


def test_what_changes_is_marked_and_nothing_else(volume: Volume) -> None:
    keep(volume, key(1), 1000)
    marks = volume.marks
    before = {number: marks.mark(key(number).primary) for number in (1, 2)}
    volume.change({key(1).primary: 1}, lambda _change: None)
    assert marks.mark(key(1).primary) == before[1]
    keep(volume, key(1), 1000)
    assert marks.mark(key(1).primary) != before[1]
    assert marks.mark(key(2).primary) == before[2]
    volume.change({}, lambda change: change.remove_all("purged"))
    assert marks.mark(key(2).primary) != before[2]


def test_the_newest_come_first(volume: Volume) -> None:
    for number in (1, 2, 3, 1):
        keep(volume, key(number), 2 * PIECE if number == 2 else 10, number)
    with volume.reading() as reading:
        assert [name for _, name in volume.newest(reading)] == [key(n).primary for n in (1, 3, 2)]


def test_without_room_in_the_file_some_goes_and_it_is_tried_again(volume: Volume) -> None:
    for number in range(5):
        keep(volume, key(number), 30_000)
    tries = []

    def full_at_first(change: Change) -> bool:
        tries.append(change)
        if len(tries) == 1:
            raise OSError(28, "no space left on device")
        return change.keep(key(9), card(100), bytes(100))

    kept, gone = volume.change({}, full_at_first)
    assert kept
    assert gone == ["size"]
    assert shelf(volume, key(0)) is None
