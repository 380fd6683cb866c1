"""One folder, opened by several at once."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.stores.disk import DiskStore
from proxy.stores.tier import Tiered
from tests.stores.contract import Hands, Made, Make, SharedContract


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Make]:
    opened: list[DiskStore] = []
    clock = Hands()

    async def make(*, max_bytes: int = 1 << 22, max_entry_bytes: int = 1 << 20) -> Made:
        evicted: list[str] = []
        store = DiskStore(
            tmp_path / "cache",
            max_bytes=max_bytes,
            max_entry_bytes=max_entry_bytes,
            clock=clock,
            on_evict=evicted.append,
        )
        opened.append(store)
        await store.open()
        return Made(store=store, clock=clock, evicted=evicted)

    yield make
    for store in opened:
        assert store.trouble is None
        await store.close()


class TestDisk(SharedContract):
    @pytest.fixture
    def made(self, made: Make) -> Make:
        return made


class TestTierBeforeDisk(SharedContract):
    @pytest.fixture
    def made(self, made: Make) -> Make:
        async def make(**bounds: int) -> Made:
            given = await made(**bounds)
            assert isinstance(given.store, DiskStore)
            return Made(
                store=Tiered(given.store, max_bytes=1 << 20), clock=given.clock, evicted=given.evicted
            )

        return make
