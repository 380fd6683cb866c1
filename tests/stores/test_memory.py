import gc
import tracemalloc
from dataclasses import dataclass, field, replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.caching.entry import Entry
from proxy.core.caching.key import Key, identify
from proxy.core.ports import Store
from proxy.stores.memory import MemoryStore
from tests.core.caching.samples import SECRET, entry, request, route

KEPT = entry(("Cache-Control", "max-age=60"), body=b"b" * 100)
VARIED = entry(("Cache-Control", "max-age=60"), ("Vary", "Foo"), body=b"b" * 100)


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


def key(target: str = "/a", *, identity: str = "none") -> Key:
    found = identify(request(target=target), route(identity=identity), secret=SECRET)
    assert isinstance(found, Key)
    return found


def variant(name: str) -> Entry:
    return replace(VARIED, selection=name.encode())


@pytest.fixture
async def cost() -> int:
    """Bytes that one KEPT takes."""
    store = Told().store
    await store.keep(key(), KEPT)
    return store.usage()[1]


def test_it_satisfies_the_port() -> None:
    store: Store = Told().store
    assert store.usage() == (0, 0)


async def test_what_is_kept_is_found_under_its_key_only() -> None:
    store = Told().store
    assert await store.load(key()) == ()
    assert await store.keep(key(), KEPT)
    assert await store.load(key()) == (KEPT,)
    assert store.peek(key()) == (KEPT,)
    assert await store.load(key("/b")) == ()
    assert await store.load(key(identity="other")) == ()


async def test_variants_newest_first_each_once() -> None:
    told = Told()
    store = told.store
    for name in ("one", "two", "one"):
        await store.keep(key(), variant(name))
    assert [kept.selection for kept in await store.load(key())] == [b"one", b"two"]
    assert store.usage()[0] == 2
    assert told.evicted == []


async def test_one_key_cannot_hold_endless_variants() -> None:
    told = Told()
    for number in range(40):
        await told.store.keep(key(), variant(str(number)))
    kept = await told.store.load(key())
    assert [entry.selection for entry in kept[:2]] == [b"39", b"38"]
    assert len(kept) == 32
    assert told.evicted == ["variants"] * 8


async def test_replacing_does_not_count_twice(cost: int) -> None:
    told = Told()
    for _ in range(3):
        await told.store.keep(key(), KEPT)
    assert told.store.usage() == (1, cost)
    assert told.evicted == []


async def test_dropping() -> None:
    told = Told()
    store = told.store
    for target in ("/a", "/b", "/c"):
        await store.keep(key(target), KEPT)
    assert await store.drop(key("/a")) == 1
    assert await store.drop(key("/a")) == 0
    assert store.usage()[0] == 2
    assert await store.clear() == 2
    assert store.usage() == (0, 0)
    assert told.evicted == ["purged"] * 3


async def test_a_place_is_dropped_for_every_identity() -> None:
    told = Told()
    store = told.store
    for identity in ("one", "two"):
        await store.keep(key(identity=identity), KEPT)
    await store.keep(key("/b"), KEPT)
    assert await store.drop_place(key().place) == 2
    assert await store.drop_place(key().place) == 0
    assert await store.load(key("/b")) == (KEPT,)
    assert told.evicted == ["invalidated"] * 2


async def test_the_least_recently_used_goes_first(cost: int) -> None:
    told = Told(max_bytes=cost * 3)
    store = told.store
    for target in ("/a", "/b", "/c"):
        await store.keep(key(target), KEPT)
    await store.load(key("/a"))
    await store.keep(key("/d"), KEPT)
    assert [bool(store.peek(key(target))) for target in ("/a", "/b", "/c", "/d")] == [True, False, True, True]
    assert told.evicted == ["size"]


async def test_what_is_too_large_is_not_kept_and_neither_is_what_it_replaces() -> None:
    told = Told(max_entry_bytes=2000)
    assert await told.store.keep(key(), KEPT)
    assert not await told.store.keep(key(), KEPT.holding(b"b" * 2000))
    assert told.store.usage() == (0, 0)
    assert told.evicted == ["invalidated"]
    small = Told(max_bytes=1000)
    assert not await small.store.keep(key(), KEPT.holding(b"b" * 1000))
    assert small.store.usage() == (0, 0)


async def test_a_large_variant_leaves_the_others_alone() -> None:
    told = Told(max_entry_bytes=2000)
    for name in ("one", "two"):
        await told.store.keep(key(), variant(name))
    assert not await told.store.keep(key(), variant("one").holding(b"b" * 2000))
    assert [kept.selection for kept in await told.store.load(key())] == [b"two"]


async def test_room_within_the_only_key() -> None:
    told = Told(max_bytes=2500)
    for name in ("one", "two", "three"):
        await told.store.keep(key(), variant(name))
    assert told.store.usage()[1] <= 2500
    assert told.store.peek(key())[0].selection == b"three"
    assert set(told.evicted) == {"size"}


_STEP = st.tuples(st.sampled_from(["keep", "load", "drop", "place"]), st.integers(0, 9), st.integers(0, 4000))


@given(st.lists(_STEP, max_size=60))
@settings(deadline=None)
async def test_the_bound_holds_and_the_books_balance(steps: list[tuple[str, int, int]]) -> None:
    told = Told(max_bytes=12_000, max_entry_bytes=5000)
    store = told.store
    for action, number, size in steps:
        where = key(f"/{number % 5}", identity=str(number % 2))
        if action == "keep":
            await store.keep(where, variant(str(size % 3)).holding(b"b" * size))
        elif action == "load":
            await store.load(where)
        elif action == "drop":
            await store.drop(where)
        else:
            await store.drop_place(where.place)
        assert store.usage()[1] <= 12_000
    keys = [key(f"/{number}", identity=identity) for number in range(5) for identity in ("0", "1")]
    assert store.usage()[0] == sum(len(store.peek(where)) for where in keys)
    for where in keys:
        await store.drop(where)
    assert store.usage() == (0, 0)
    assert store._places == {}


async def test_bytes_are_counted_as_memory_needs_them() -> None:
    chance = Random(0)
    store = MemoryStore(max_bytes=1 << 30, max_entry_bytes=1 << 20)
    on = route()
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(1500):
        where = identify(request(target=f"/items/{number}"), on, secret=SECRET)
        assert isinstance(where, Key)
        fields = [(f"X-Field-{n}", f"value {number} {n}") for n in range(chance.randrange(20))]
        kept = entry(
            ("Cache-Control", f"max-age={number + 1}"), *fields, body=chance.randbytes(chance.randrange(2000))
        )
        await store.keep(where, kept)
    gc.collect()
    real = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert 0.9 < store.usage()[1] / real < 1.3


async def test_one_upstreams_entries_are_dropped() -> None:
    told = Told()
    await told.store.keep(key(), KEPT)
    assert await told.store.drop_upstream("other") == 0
    assert await told.store.drop_upstream("api") == 1
    assert told.evicted == ["purged"]
