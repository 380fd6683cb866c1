import asyncio
import gc
import tracemalloc
from dataclasses import dataclass, field, replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.caching.key import Key, identify
from proxy.core.caching.purge import Purge
from proxy.core.caching.serving import serve
from proxy.core.ports import Store
from proxy.stores.memory import MemoryStore
from tests.core.caching.samples import NOW, SECRET, WALL, entry, request, route
from tests.stores.contract import KEPT, Contract, Made, Make, key, variant


def room_for(size: int) -> int:
    """The `max_bytes` by which so many may be kept: an eighth is set apart, and the queues need a little."""
    return (size + 100) * 8 // 7


@dataclass
class Told:
    """A store and what it told of evictions."""

    max_bytes: int = 1 << 20
    max_entry_bytes: int = 1 << 16
    evicted: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = MemoryStore(
            max_bytes=self.max_bytes, max_entry_bytes=self.max_entry_bytes, on_evict=self.evicted.append
        )


class TestContract(Contract):
    @pytest.fixture
    def made(self) -> Make:
        async def make(*, max_bytes: int = 1 << 20, max_entry_bytes: int = 1 << 16) -> Made:
            told = Told(max_bytes, max_entry_bytes)
            return Made(store=told.store, evicted=told.evicted)

        return make


@pytest.fixture
async def cost() -> int:
    """Bytes that one KEPT takes."""
    store = Told().store
    await store.keep(key(), KEPT)
    return store.usage()[1]


def test_it_satisfies_the_port() -> None:
    store: Store = Told().store
    assert store.usage() == (0, 0)


async def test_replacing_does_not_count_twice(cost: int) -> None:
    told = Told()
    for _ in range(3):
        await told.store.keep(key(), KEPT)
    assert told.store.usage() == (1, cost)
    assert told.evicted == []


async def test_what_was_not_asked_for_again_goes_first(cost: int) -> None:
    told = Told(max_bytes=room_for(cost * 3))
    store = told.store
    for target in ("/a", "/b", "/c"):
        await store.keep(key(target), KEPT)
    await store.load(key("/a"))
    await store.keep(key("/d"), KEPT)
    assert [bool(store.peek(key(target))) for target in ("/a", "/b", "/c", "/d")] == [True, False, True, True]
    assert told.evicted == ["size"]


async def test_a_scan_leaves_what_is_in_use(cost: int) -> None:
    told = Told(max_bytes=room_for(cost * 100))
    used = [key(f"/used/{number}") for number in range(50)]
    for where in used:
        await told.store.keep(where, KEPT)
        told.store.peek(where)
    for number in range(2000):
        await told.store.keep(key(f"/scan/{number}"), KEPT)
    assert all(told.store.peek(where) for where in used)
    assert told.evicted == ["size"] * (2050 - told.store.usage()[0])


async def test_what_is_too_large_is_not_kept_and_neither_is_what_it_replaces() -> None:
    told = Told(max_entry_bytes=2000)
    assert await told.store.keep(key(), KEPT)
    assert not await told.store.keep(key(), KEPT.holding(b"b" * 2000))
    assert told.store.usage() == (0, 0)
    assert told.evicted == ["invalidated"]
    small = Told(max_bytes=1000)
    assert not await small.store.keep(key(), KEPT.holding(b"b" * 1000))
    assert small.store.usage() == (0, 0)


async def test_room_within_the_only_key() -> None:
    names = ("one", "two", "three")
    roomy = Told().store
    for name in names[:2]:
        await roomy.keep(key(), variant(name, body=b"b" * 2000))
    told = Told(max_bytes=room_for(roomy.usage()[1] + 50))
    for name in names:
        assert await told.store.keep(key(), variant(name, body=b"b" * 2000))
    assert told.store.usage()[0] == 2
    assert [kept.selection for kept in told.store.peek(key())] == [b"three", b"two"]
    assert told.evicted == ["size"]


_STEP = st.tuples(
    st.sampled_from(["keep", "keep", "load", "drop", "place", "tag"]),
    st.integers(0, 9),
    st.integers(0, 10_000),
)
_TAGS = ("even", "odd", "third")


@given(st.lists(_STEP, max_size=60))
@settings(deadline=None)
async def test_the_bound_holds_and_the_books_balance(steps: list[tuple[str, int, int]]) -> None:
    told = Told(max_bytes=40_000, max_entry_bytes=12_000)
    store = told.store
    for action, number, size in steps:
        where = key(f"/{number % 5}", identity=str(number % 2))
        if action == "keep":
            tags = _TAGS[size % 2 : 1 + size % 3]
            await store.keep(where, replace(variant(str(size % 3)), body=b"b" * size, tags=tags))
        elif action == "load":
            await store.load(where)
        elif action == "tag":
            await store.purge(Purge(tag=_TAGS[size % 3]))
            assert store._tags.find(_TAGS[size % 3]) == ()
        elif action == "drop":
            await store.drop(where)
        else:
            await store.drop_place(where.place)
        assert store.usage()[1] <= 40_000
    keys = [key(f"/{number}", identity=identity) for number in range(5) for identity in ("0", "1")]
    assert store.usage()[0] == sum(len(store.peek(where)) for where in keys)
    for where in keys:
        await store.drop(where)
    assert store.usage() == (0, 0)
    assert (store._records, store._open, len(store._lately)) == ({}, {}, 0)
    assert (len(store._beside), len(store._tags)) == (0, 0)


@pytest.mark.parametrize("varied", [0, 500], ids=["usual", "varied by much"])
async def test_bytes_are_counted_as_memory_needs_them(varied: int) -> None:
    chance = Random(0)
    store = MemoryStore(max_bytes=1 << 30, max_entry_bytes=1 << 20)
    on = route()
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(300 if varied else 1500):
        asked = request(target=f"/items/{number}")
        where = identify(asked, on, secret=SECRET)
        assert isinstance(where, Key)
        fields = [(f"X-Field-{n}", f"value {number} {n}") for n in range(chance.randrange(20))]
        tags = " ".join(["all", f"tenth-{number % 10}", f"item-{number}"][: chance.randrange(4)])
        kept = entry(
            *[("Cache-Control", f"max-age={number + 1}"), ("ETag", f'"{number}"'), ("Cache-Tag", tags)],
            ("Vary", ", ".join(f"x{n}" for n in range(chance.randrange(varied + 1)))),
            *fields,
            body=chance.randbytes(chance.randrange(2000)),
        )
        await store.keep(where, kept)
        if number % 2:  # what a use leaves behind is counted too
            serve(asked, (await store.load(where))[0], "", now=NOW, wall=WALL)
    gc.collect()
    real = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert 0.95 < store.usage()[1] / real < 1.25


# What is open


async def test_the_very_same_entries_are_told_while_nothing_changes() -> None:
    store = Told().store
    await store.keep(key(), KEPT)
    first = store.peek(key())
    for number in range(20):
        await store.keep(key(f"/other/{number}"), KEPT)
        store.peek(key(f"/other/{number}"))
        assert store.peek(key()) is first
    await store.keep(key(), KEPT)
    assert store.peek(key()) == first
    assert store.peek(key()) is not first
    await store.drop(key())
    assert store.peek(key()) == ()


@pytest.mark.parametrize("size", [100, 8192, 8193, 60_000])
async def test_what_is_large_is_not_packed(size: int) -> None:
    store = Told(max_bytes=1 << 24).store
    kept = KEPT.holding(b"b" * size)
    await store.keep(key(), kept)
    assert (store.peek(key())[0] is kept) == (size > 8192)


async def test_what_is_in_use_stays_open_and_the_rest_is_closed() -> None:
    told = Told(max_bytes=1 << 20)
    store = told.store
    for number in range(500):
        await store.keep(key(f"/{number}"), KEPT)
    used = [store.peek(key(f"/{number}")) for number in range(10)]
    for number in range(10, 500):
        before = store.usage()[0]
        store.peek(key(f"/{number}"))
        assert [store.peek(key(f"/{one}")) for one in range(10)] == used
        assert store.usage()[0] == before
        assert store.usage()[1] <= 1 << 20
    assert all(store.peek(key(f"/{one}")) is entries for one, entries in enumerate(used))
    assert 10 < len(store._lately) < 200
    assert told.evicted == []
    opened = store._opened
    assert opened <= (1 << 20) // 8
    for number in range(500):
        await store.drop(key(f"/{number}"))
    assert (store._opened, store.usage()) == (0, (0, 0))


async def test_what_would_take_more_than_is_set_apart_is_read_each_time() -> None:
    store = Told(max_bytes=16_000, max_entry_bytes=6000).store
    for target, size in (("/a", 100), ("/b", 1500)):
        await store.keep(key(target), KEPT.holding(b"b" * size))
    small, large = store.peek(key("/a")), store.peek(key("/b"))
    assert large == (KEPT.holding(b"b" * 1500),)
    assert store.peek(key("/b")) == large
    assert store.peek(key("/b")) is not large
    assert store.peek(key("/a")) is small, "it makes way for nothing"


async def test_keys_of_one_place_are_found_whoever_came_first() -> None:
    store = Told().store
    for identity in ("one", "two", "three"):
        await store.keep(key(identity=identity), KEPT.holding(identity.encode()))
    await store.drop(key(identity="one"))
    await store.keep(key(identity="two"), KEPT.holding(b"2"))
    await store.keep(key(identity="four"), KEPT.holding(b"four"))
    bodies = {
        identity: [entry.body for entry in store.peek(key(identity=identity))]
        for identity in ("one", "two", "three", "four")
    }
    assert bodies == {"one": [], "two": [b"2"], "three": [b"three"], "four": [b"four"]}
    listed = await store.kept(Purge(), 9)
    assert {kept.key.place for kept in listed} == {key().place}
    assert {kept.key for kept in listed} == {key(identity=who) for who in ("two", "three", "four")}
    assert await store.drop_place(key().place) == 3
    assert store.usage() == (0, 0)


def test_what_is_packed_is_nothing_to_the_garbage_collection() -> None:
    store = Told().store
    asyncio.run(store.keep(key(), KEPT))
    assert not gc.is_tracked(store._records)


async def tagged(told: Told, target: str, *tags: str, identity: str = "none") -> None:
    await told.store.keep(key(target, identity=identity), replace(KEPT, tags=tags))


async def left(told: Told) -> list[str]:
    return sorted(kept.key.target for kept in await told.store.kept(Purge(), 100))


async def test_a_purge_of_much_lets_others_have_a_turn() -> None:
    told = Told(max_bytes=1 << 24)
    for number in range(2500):
        await told.store.keep(key(f"/{number}"), KEPT)
    turns = 0

    async def another() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(another())
    assert await told.store.purge(Purge(path="/nothing")) == 0
    assert turns == 10
    assert await told.store.kept(Purge(path="/nothing"), 1) == []
    assert turns == 20
    assert await told.store.purge(Purge(path="/*")) == 2500
    task.cancel()


async def test_a_listing_is_as_long_as_asked_and_counts_no_use() -> None:
    told = Told()
    for target in ("/a", "/b", "/c"):
        await tagged(told, target)
    told.store.peek(key("/b"))
    found = await told.store.kept(Purge(), 2)
    assert [(kept.key.target, kept.uses) for kept in found] == [("/c", 0), ("/b", 1)]
    assert [kept.uses for kept in await told.store.kept(Purge(path="/b"), 9)] == [1]
    assert found[0].entry == KEPT
    assert await told.store.kept(Purge(), 0) == []


async def test_tags_that_need_more_room_than_there_is() -> None:
    """What an index needs is known only when it has been made."""
    told = Told(max_bytes=60_000, max_entry_bytes=60_000)
    many = tuple(f"tag-{number}" for number in range(500))
    assert not await told.store.keep(key(), replace(KEPT, tags=many))
    assert told.store.usage() == (0, 0)
    assert told.evicted == ["size"]
