"""What does every store do alike? One suite over all of them.

A store's test file makes a class of `Contract`, or of `SharedContract` where several processes open the same
store, and gives it a `made` fixture: a function that opens a store on a clock that tests turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from proxy.core.caching.entry import Entry
from proxy.core.caching.key import Key, identify
from proxy.core.caching.purge import Purge
from proxy.core.ports import Store
from tests.core.caching.samples import NOW, SECRET, WALL, entry, request, route

KEPT = entry(("Cache-Control", "max-age=60"), body=b"b" * 100)
VARIED = entry(("Cache-Control", "max-age=60"), ("Vary", "Foo"), body=b"b" * 100)
RICH = entry(
    ("Cache-Control", "max-age=60, stale-if-error=5, stale-while-revalidate=7"),
    ("ETag", 'W/"\xe4"'),
    ("Last-Modified", "Wed, 15 Jul 2026 12:00:00 GMT"),
    ("Vary", "Accept-Language, Foo"),
    ("Content-Language", "de"),
    ("Cache-Tag", "red, blau\xdf"),
    ("X-Twice", "1"),
    ("x-twice", "\xff\x80"),
    asked=(("Accept-Language", "de, en;q=0.5"), ("Foo", "bar")),
    body=bytes(range(256)) * 8,
    reason="Gefunden",
    span=(0, 2047, 9000),
)


@dataclass
class Hands:
    """A clock that is turned by hand."""

    time: float = NOW
    ahead: float = WALL - NOW

    def now(self) -> float:
        return self.time

    def wall(self) -> float:
        return self.time + self.ahead


@dataclass
class Made:
    """An open store and what it told of evictions."""

    store: Store
    clock: Hands = field(default_factory=Hands)
    evicted: list[str] = field(default_factory=list)


Make = Callable[..., Awaitable[Made]]


def key(target: str = "/a", *, identity: str = "none", upstream: str = "api") -> Key:
    found = identify(request(target=target), route(name=upstream, identity=identity), secret=SECRET)
    assert isinstance(found, Key)
    return found


def variant(name: str, **changed: Any) -> Entry:
    return replace(VARIED, selection=name.encode(), **changed)


async def selections(store: Store, of: Key) -> list[str]:
    return [kept.selection.decode() for kept in await store.load(of)]


async def targets(store: Store) -> list[str]:
    return sorted(kept.key.target for kept in await store.kept(Purge(), 1000))


async def tagged(store: Store, target: str, *tags: str, **of: str) -> None:
    await store.keep(key(target, **of), replace(KEPT, tags=tags))


class Contract:
    """`made(max_bytes=…, max_entry_bytes=…)` opens a store; again, the same one where it is shared.

    `bounded`: it holds `max_bytes` by itself. `most_variants` of one key are kept.
    """

    bounded = True
    most_variants = 32

    @pytest.fixture
    def made(self) -> Make:
        raise NotImplementedError

    async def test_what_is_kept_is_found_under_its_key_only(self, made: Make) -> None:
        store = (await made()).store
        assert tuple(await store.load(key())) == ()
        assert await store.keep(key(), KEPT)
        assert tuple(await store.load(key())) == (KEPT,)
        assert tuple(await store.load(key("/b"))) == ()
        assert tuple(await store.load(key(identity="other"))) == ()
        assert tuple(await store.load(key(upstream="other"))) == ()

    @pytest.mark.parametrize("body", [b"", b"b", bytes(range(256)) * 4097], ids=len)
    async def test_an_entry_comes_back_whole(self, made: Make, body: bytes) -> None:
        store = (await made(max_entry_bytes=1 << 22, max_bytes=1 << 24)).store
        assert await store.keep(key(), RICH.holding(body))
        assert tuple(await store.load(key())) == (RICH.holding(body),)

    async def test_a_copy_is_as_old_as_what_it_is_a_copy_of(self, made: Make) -> None:
        given = await made()
        await given.store.keep(key(), replace(KEPT, initial_age=3.0))
        for later in (10.0, 40.0, 90.0):
            given.clock.time = NOW + later
            (found,) = await given.store.load(key())
            assert found.age(given.clock.now()) == pytest.approx(3 + later)
            assert found.ttl(given.clock.now()) == pytest.approx(57 - later)

    async def test_a_wall_clock_that_is_set_makes_nothing_younger(self, made: Make) -> None:
        given = await made()
        await given.store.keep(key(), KEPT)
        given.clock.time += 30
        given.clock.ahead -= 86_400
        (found,) = await given.store.load(key())
        assert found.age(given.clock.now()) == pytest.approx(30)

    async def test_variants_newest_first_each_once(self, made: Make) -> None:
        given = await made()
        for name in ("one", "two", "one"):
            assert await given.store.keep(key(), variant(name))
        assert await selections(given.store, key()) == ["one", "two"]
        assert given.store.usage()[0] == 2
        assert given.evicted == []

    async def test_a_variant_is_the_newest_that_was_kept(self, made: Make) -> None:
        store = (await made()).store
        for body in (b"first", b"second"):
            await store.keep(key(), VARIED.holding(body))
        assert [kept.body for kept in await store.load(key())] == [b"second"]

    async def test_an_answer_to_head_leaves_the_content(self, made: Make) -> None:
        store = (await made()).store
        await store.keep(key(), KEPT)
        for status in (200, 203):
            await store.keep(key(), replace(KEPT, body=b"", head_only=True, status=status))
        assert [(kept.head_only, kept.status) for kept in await store.load(key())] == [
            (True, 203),
            (False, 200),
        ]
        await store.keep(key(), KEPT)
        assert tuple(await store.load(key())) == (KEPT,)

    async def test_one_key_cannot_hold_endless_variants(self, made: Make) -> None:
        given = await made()
        for number in range(self.most_variants + 8):
            await given.store.keep(key(), variant(str(number)))
        kept = await selections(given.store, key())
        assert kept == [str(number) for number in reversed(range(8, self.most_variants + 8))]
        assert given.evicted == ["variants"] * 8

    async def test_dropping(self, made: Make) -> None:
        given = await made()
        store = given.store
        for target in ("/a", "/b", "/c"):
            await store.keep(key(target), KEPT)
        assert await store.drop(key("/a")) == 1
        assert await store.drop(key("/a")) == 0
        assert tuple(await store.load(key("/a"))) == ()
        assert await store.purge(Purge()) == 2
        assert store.usage()[0] == 0
        assert given.evicted == ["purged"] * 3

    async def test_a_place_is_dropped_for_every_identity(self, made: Make) -> None:
        given = await made()
        store = given.store
        for identity in ("one", "two"):
            await store.keep(key(identity=identity), KEPT)
        await store.keep(key("/b"), KEPT)
        assert await store.drop_place(key().place) == 2
        assert await store.drop_place(key().place) == 0
        assert tuple(await store.load(key(identity="one"))) == ()
        assert tuple(await store.load(key("/b"))) == (KEPT,)
        assert given.evicted == ["invalidated"] * 2

    async def test_what_is_too_large_is_not_kept_and_neither_is_what_it_replaces(self, made: Make) -> None:
        given = await made(max_entry_bytes=4000)
        for name in ("one", "two"):
            await given.store.keep(key(), variant(name))
        assert not await given.store.keep(key(), variant("one", body=b"b" * 4000))
        assert await selections(given.store, key()) == ["two"]
        assert given.evicted == ["invalidated"]

    async def test_the_bound_holds_and_what_is_in_use_stays(self, made: Make) -> None:
        if not self.bounded:
            return
        most = 1 << 20
        given = await made(max_bytes=most)
        store = given.store
        used = [key(f"/used/{number}") for number in range(8)]
        for where in used:
            await store.keep(where, KEPT.holding(b"u" * 4000))
            await store.load(where)
        for number in range(400):
            await store.keep(key(f"/scan/{number}"), KEPT.holding(b"s" * 8000))
            assert store.usage()[1] <= most
        entries, size = store.usage()
        assert size > most / 2
        assert all([await store.load(where) for where in used])
        assert set(given.evicted) == {"size"}
        assert entries == 408 - len(given.evicted) == len(await store.kept(Purge(), 1000))

    @pytest.mark.parametrize(
        ("what", "gone"),
        [
            (Purge(), ["/a/1", "/a/2", "/a/b/3?q=1", "/c"]),
            (Purge(upstream="api"), ["/a/1", "/a/2", "/a/b/3?q=1"]),
            (Purge(upstream="absent"), []),
            (Purge(path="/a/*"), ["/a/1", "/a/2"]),
            (Purge(path="/a/**"), ["/a/1", "/a/2", "/a/b/3?q=1"]),
            (Purge(path="/c"), ["/c"]),
            (Purge(tag="red"), ["/a/1", "/c"]),
            (Purge(tag="RED"), []),
            (Purge(tag="red", path="/a/**"), ["/a/1"]),
            (Purge(tag="red", upstream="other"), ["/c"]),
        ],
        ids=repr,
    )
    async def test_a_purge_takes_what_is_meant_and_says_how_much(
        self, made: Make, what: Purge, gone: list[str]
    ) -> None:
        given = await made()
        store = given.store
        await tagged(store, "/a/1", "red", "blue")
        await tagged(store, "/a/2", "blue")
        await tagged(store, "/a/b/3?q=1")
        await tagged(store, "/c", "red", upstream="other")
        everything = await targets(store)
        assert sorted(kept.key.target for kept in await store.kept(what, 100)) == gone
        assert await store.purge(what) == len(gone)
        assert await targets(store) == [target for target in everything if target not in gone]
        assert given.evicted == ["purged"] * len(gone)
        assert await store.purge(what) == 0
        assert store.usage()[0] == 4 - len(gone)

    async def test_only_the_variants_with_the_tag_go(self, made: Make) -> None:
        store = (await made()).store
        await store.keep(key(), variant("one", tags=("red",)))
        await store.keep(key(), variant("two", tags=("blue", "red & blue")))
        assert await store.purge(Purge(tag="red")) == 1
        assert await selections(store, key()) == ["two"]
        assert await store.purge(Purge(tag="red")) == 0

    async def test_the_tags_are_those_of_the_newest_answer(self, made: Make) -> None:
        store = (await made()).store
        await tagged(store, "/a", "red")
        await tagged(store, "/a", "blue")
        assert await store.purge(Purge(tag="red")) == 0
        assert await store.purge(Purge(tag="blue")) == 1
        assert store.usage()[0] == 0

    async def test_a_listing_is_as_long_as_asked_and_counts_no_use(self, made: Make) -> None:
        given = await made()
        store = given.store
        for target in ("/a", "/b", "/c"):
            await tagged(store, target, "red")
        for _ in range(2):
            await store.load(key("/b"))
        found = await store.kept(Purge(), 2)
        assert [(kept.key.target, kept.uses) for kept in found] == [("/c", 0), ("/b", 2)]
        assert found[0].key == key("/c")
        assert (found[0].key.place, found[0].key.upstream) == (key("/c").place, "api")
        assert [kept.uses for kept in await store.kept(Purge(path="/b"), 9)] == [2]
        assert await store.kept(Purge(), 0) == []
        listed = found[0].entry
        assert replace(listed, body=KEPT.body) == replace(KEPT, tags=("red",))
        assert found[0].size > len(KEPT.body)

    async def test_many_at_once(self, made: Make) -> None:
        store = (await made()).store
        wheres = [key(f"/{number}") for number in range(20)]

        async def one(number: int) -> None:
            where = wheres[number % 20]
            await store.keep(where, KEPT.holding(b"%d" % number * 100))
            for kept in await store.load(where):
                assert int(kept.body[: len(kept.body) // 100]) % 20 == number % 20

        await asyncio.gather(*(one(number) for number in range(200)))
        assert store.usage()[0] == 20


class SharedContract(Contract):
    """For a store that several processes open: each call of `made` opens it as another process would."""

    async def test_each_sees_what_any_keeps(self, made: Make) -> None:
        one, two = (await made()).store, (await made()).store
        assert tuple(await two.load(key())) == ()
        await one.keep(key(), RICH)
        assert tuple(await two.load(key())) == (RICH,)
        await two.keep(key(), replace(RICH, status=203))
        assert [kept.status for kept in await one.load(key())] == [203]
        assert (await one.kept(Purge(), 9))[0].entry.status == 203

    async def test_each_sees_what_any_drops(self, made: Make) -> None:
        one, two = (await made()).store, (await made()).store
        for take in (
            lambda: one.drop(key()),
            lambda: one.drop_place(key().place),
            lambda: one.purge(Purge(tag="red")),
            lambda: one.purge(Purge(path="/*")),
            lambda: one.purge(Purge()),
        ):
            await tagged(two, "/a", "red")
            assert await two.load(key())
            assert await one.load(key())
            assert await take() == 1
            assert tuple(await two.load(key())) == ()
            assert tuple(await one.load(key())) == ()
            assert await two.kept(Purge(), 9) == []

    @pytest.mark.parametrize("what", [None, Purge(), Purge(tag="red"), Purge(path="/a")], ids=repr)
    async def test_what_was_asked_for_before_a_drop_is_not_kept_after_it(
        self, made: Make, what: Purge | None
    ) -> None:
        """As it may be from before the change."""
        one, two = await made(), await made()
        red = replace(KEPT, tags=("red",))
        asked = two.clock.now()
        for given in (one, two):
            given.clock.time += 1
        await (one.store.drop_place(key().place) if what is None else one.store.purge(what))
        assert not await two.store.keep(key(), red, asked=asked)
        assert tuple(await two.store.load(key())) == ()
        assert await two.store.keep(key(), red, asked=two.clock.now())
        assert tuple(await one.store.load(key())) == (red,)

    async def test_all_count_in_the_same_books(self, made: Make) -> None:
        one, two = (await made()).store, (await made()).store
        for number in range(10):
            await (one, two)[number % 2].keep(key(f"/{number}"), KEPT)
        assert await targets(one) == await targets(two)
        assert len(await targets(one)) == 10
        for _ in range(3):
            await two.load(key("/9"))
        assert (await one.load(key("/9"))) == (await two.load(key("/9")))
        assert (await two.kept(Purge(path="/9"), 1))[0].uses >= 4
        assert await two.purge(Purge()) == 10
        assert await one.purge(Purge()) == 0
