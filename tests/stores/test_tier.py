from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from proxy.core.caching.entry import Entry
from proxy.core.caching.key import Key
from proxy.stores.memory import MemoryStore
from proxy.stores.tier import Backing, Tiered
from tests.stores.contract import KEPT, key


class Far(MemoryStore):
    """A store that counts what it is asked, and vouches by one number for all."""

    salt: bytes | None = b"s" * 32
    trouble: str | None = None

    def __init__(self) -> None:
        super().__init__(max_bytes=1 << 24, max_entry_bytes=1 << 22)
        self.asked = 0
        self.number: int | None = 1
        self.used_keys: list[Key] = []
        self.meanwhile: Callable[[], Awaitable[None]] | None = None

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    def mark(self, key: Key) -> object | None:
        return self.number

    def used(self, key: Key) -> None:
        self.used_keys.append(key)

    async def load(self, key: Key) -> Sequence[Entry]:
        self.asked += 1
        found = await super().load(key)
        if self.meanwhile is not None:
            await self.meanwhile()
        return found


async def tier(max_bytes: int = 1 << 20) -> tuple[Tiered, Far]:
    far = Far()
    backing: Backing = far
    return Tiered(backing, max_bytes=max_bytes), far


async def test_what_is_asked_for_again_costs_no_question() -> None:
    store, far = await tier()
    await store.keep(key(), KEPT)
    assert store.peek(key()) is None
    for _ in range(5):
        assert tuple(await store.load(key())) == (KEPT,)
    assert store.peek(key()) == (KEPT,)
    assert far.asked == 1
    assert far.used_keys == [key()] * 5


async def test_nothing_is_remembered_of_what_is_not_kept() -> None:
    store, far = await tier()
    for _ in range(3):
        assert tuple(await store.load(key())) == ()
    assert far.asked == 3
    assert store.copies() == (0, 0)


async def test_a_copy_that_nobody_vouches_for_is_not_served() -> None:
    store, far = await tier()
    await store.keep(key(), KEPT)
    await store.load(key())
    await far.drop(key())
    assert await store.load(key()) == (KEPT,), "the mark alone decides"
    far.number = 2
    assert tuple(await store.load(key())) == ()
    assert store.copies() == (0, 0)


async def test_without_a_mark_there_are_no_copies() -> None:
    store, far = await tier()
    await store.keep(key(), KEPT)
    await store.load(key())
    far.number = None
    for _ in range(2):
        assert tuple(await store.load(key())) == (KEPT,)
    assert far.asked == 3
    assert store.copies() == (0, 0)


async def test_a_change_while_it_is_read_is_not_missed() -> None:
    store, far = await tier()
    await far.keep(key(), KEPT)

    async def change() -> None:
        await far.keep(key(), replace(KEPT, status=203))
        far.number = 2

    far.meanwhile = change
    assert [kept.status for kept in await store.load(key())] == [200]
    far.meanwhile = None
    assert [kept.status for kept in await store.load(key())] == [203]


async def test_copies_stay_within_their_bytes() -> None:
    store, far = await tier(max_bytes=100_000)
    for number in range(100):
        await store.keep(key(f"/{number}"), KEPT.holding(b"b" * 2000))
        await store.load(key(f"/{number}"))
    keys, size = store.copies()
    assert 50_000 < size <= 100_000
    assert keys < 50
    assert store.usage()[0] == 100
    await store.keep(key("/large"), KEPT.holding(b"b" * 20_000))
    before = far.asked
    for _ in range(2):
        assert await store.load(key("/large"))
    assert far.asked == before + 2, "what would push out much else is not copied"


async def test_changing_here_forgets_here() -> None:
    store, _ = await tier()
    await store.keep(key(), KEPT)
    await store.load(key())
    await store.keep(key(), replace(KEPT, status=203))
    assert [kept.status for kept in await store.load(key())] == [203]
    assert await store.drop(key()) == 1
    assert tuple(await store.load(key())) == ()
