"""One folder, opened by several at once."""

import asyncio
import resource
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import lmdb
import pytest

from proxy.core.caching.entry import Entry
from proxy.core.caching.purge import Purge
from proxy.stores import codec, disk
from proxy.stores.disk import DiskStore
from proxy.stores.tier import Tiered
from proxy.stores.volume import _PIECE_NAME, Change
from tests.house import ROOT
from tests.stores.contract import KEPT, Hands, Made, Make, SharedContract, key


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


async def opened(folder: Path, failed: list[str] | None = None, **more: Any) -> tuple[DiskStore, list[str]]:
    evicted: list[str] = []
    bounds = {"max_bytes": 1 << 24, "max_entry_bytes": 1 << 22, **more}
    store = DiskStore(
        folder,
        **bounds,
        clock=Hands(),
        on_evict=evicted.append,
        on_failure=([] if failed is None else failed).append,
    )
    await store.open()
    return store, evicted


async def until(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not check():  # noqa: ASYNC110 - what it waits for is in another thread or process
            await asyncio.sleep(0.01)


async def test_what_cannot_be_read_is_a_miss_and_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, evicted = await opened(tmp_path / "cache")
    for target in ("/a", "/b"):
        await store.keep(key(target), KEPT)

    def spoil(change: Change) -> int:
        shelf = change.shelf(key("/a").primary)
        assert shelf is not None
        record = bytearray(change._volume.record(change._writing, shelf.variants[0]))
        record[-1] ^= 1
        name = _PIECE_NAME.pack(shelf.variants[0].id, 0)
        change._writing.put(name, key("/a").primary + bytes(record), db=change._volume.records)
        return 0

    await store._write(spoil, otherwise=0)
    assert await store.load(key("/a")) == ()
    await until(lambda: store.usage()[0] == 1)
    assert evicted == ["checksum"]
    monkeypatch.setattr(codec, "VERSION", codec.VERSION + 1)
    assert await store.load(key("/b")) == ()
    await until(lambda: store.usage()[0] == 0)
    assert evicted == ["checksum", "version"]
    assert store.trouble is None
    await store.close()


@pytest.mark.parametrize("size", [4000, 20_000])
async def test_on_a_full_disk_it_serves_what_it_has(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, size: int
) -> None:
    failed: list[str] = []
    store, evicted = await opened(tmp_path / "cache", failed)
    most, hardest = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 19, hardest))
    try:
        kept = [
            await store.keep(key(f"/{number}"), KEPT.holding(b"b" * size))
            for number in range((1 << 20) // size)
        ]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, hardest))
    assert kept[0]
    there = [await store.load(key(f"/{number}")) for number in range(len(kept))]
    assert sum(map(bool, there)) > 5
    assert {entry.body for found in there for entry in found} == {b"b" * size}
    assert set(evicted) | set(failed) <= {"size", "full"}
    assert evicted or failed
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) <= 1
    assert await store.keep(key("/after"), KEPT)
    assert store.trouble is None
    assert await store.purge(Purge()) > 0
    await store.close()


_HOLDER = """
import os, pathlib, signal, sys
from proxy.stores.folder import enter
with enter(pathlib.Path(sys.argv[1]), room=1 << 24).volume.changing():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that writes and does not go on."""
    command = [sys.executable, "-c", _HOLDER, str(tmp_path / "cache")]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.communicate()


async def test_another_process_that_hangs_while_it_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, holder: subprocess.Popen[str]
) -> None:
    monkeypatch.setattr(disk, "_PATIENCE", 0.2)
    failed: list[str] = []
    store, _ = await opened(tmp_path / "cache", failed)
    beside, _ = await opened(tmp_path / "cache")
    for target in ("/a", "/b"):
        await store.keep(key(target), KEPT)
    assert holder.stdout is not None
    assert await asyncio.to_thread(holder.stdout.readline) == "held\n"
    assert not await store.keep(key("/c"), KEPT)
    assert failed == ["busy"]
    assert store.trouble is not None
    for reader in (store, beside):
        assert tuple(await reader.load(key("/a"))) == (KEPT,)
    copies = Tiered(beside, max_bytes=1 << 20)
    await copies.load(key("/b"))
    assert await store.drop_place(key("/a").place) == 0
    assert await store.purge(Purge(path="/b")) == 0
    for target in ("/a", "/b"):
        assert tuple(await beside.load(key(target))) == (), "a drop holds all the same"
        assert tuple(await copies.load(key(target))) == ()
    holder.kill()
    tries = [await store.keep(key("/a"), KEPT) for _ in range(20)]
    assert tries[-1]
    assert not store.trouble
    assert tuple(await beside.load(key("/a"))) == (KEPT,)
    await store.close()
    await beside.close()


async def test_more_than_can_be_written_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "_MOST_WAITING", 5000)
    failed: list[str] = []
    store, _ = await opened(tmp_path / "cache", failed)
    results = await asyncio.gather(
        *(store.keep(key(f"/{number}"), KEPT.holding(b"b" * 1500)) for number in range(10))
    )
    assert results == [True, True] + [False] * 8
    assert failed == ["busy"] * 8
    await store.close()


async def test_a_damaged_file_is_left_and_made_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    failed: list[str] = []
    store, _ = await opened(tmp_path / "cache", failed)
    await store.keep(key(), KEPT)

    def broken(_change: Change) -> int:
        raise lmdb.CorruptedError("mdb_get")

    assert await store._write(broken, otherwise=-1) == -1
    assert tuple(await store.load(key())) == ()
    assert store.mark(key()) is None
    await until(lambda: store.salt is not None)
    assert failed == ["damaged"]
    assert tuple(await store.load(key())) == ()
    assert await store.keep(key(), KEPT)
    assert store.trouble is None
    assert [record.levelname for record in caplog.records if record.name == "leeward.stores"] == ["WARNING"]
    await store.close()


async def test_what_is_slow_or_long_is_read_in_the_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = await opened(tmp_path / "cache")
    await store.keep(key("/short"), KEPT)
    await store.keep(key("/long"), KEPT.holding(b"b" * 300_000))
    threads: list[str] = []
    read = codec.read

    def noted(*given: Any, **named: Any) -> Entry:
        threads.append(threading.current_thread().name)
        return read(*given, **named)

    monkeypatch.setattr(codec, "read", noted)
    await store.load(key("/short"))
    await store.load(key("/long"))
    assert threads[0] == threading.current_thread().name
    assert threads[1].startswith("cache-reader")
    monkeypatch.setattr(disk, "_SLOW", -1.0)
    monkeypatch.setattr(disk, "_THREAD", None)
    await store.load(key("/short"))
    await store.load(key("/short"))
    assert threads[2] == threads[0]
    assert threads[3] == threads[1]
    await store.close()
