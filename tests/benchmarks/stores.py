"""How long do stores take under a cache's pattern, and what do 100,000 entries need?

    python -m tests.benchmarks.stores FOLDER [SECONDS]

Four processes, 99 look-ups a write, 1 KiB to 1 MiB; FOLDER is on the disk to measure, or in memory (tmpfs).
Also what stands in the note on the choice: LMDB and SQLite (WAL) bare, with the same index. Redis is started
here, on loopback.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import sys
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from random import Random

import lmdb

from proxy.core.caching.key import Key
from proxy.core.ports import Store
from proxy.stores.codec import boot
from proxy.stores.disk import DiskStore
from proxy.stores.memory import MemoryStore
from proxy.stores.redis.address import RedisAddress
from proxy.stores.redis.clients import client
from proxy.stores.redis.store import RedisStore
from proxy.stores.tier import Tiered
from proxy.wiring import MonotonicClock
from tests.stores.contract import KEPT, Hands, key
from tests.stores.redis.servers import RedisServer
from tests.stores.week import peak

KEYS, PROCESSES, MANY = 800, 4, 100_000
_ROOM = 1 << 30
_BLOB = Random(0).randbytes(1 << 20)
Times = dict[str, list[float]]
Read = Callable[[bytes], object]
Write = Callable[[bytes, bytes], object]


def size(number: int) -> int:
    return int(1024 * 1024 ** Random(number).random())


def name(number: int) -> bytes:
    return Random(number).randbytes(32)


def sqlite(folder: Path) -> tuple[Read, Write]:
    to = sqlite3.connect(folder / "sqlite", isolation_level=None, timeout=20)
    for line in ("journal_mode=wal", "synchronous=normal", "mmap_size=268435456"):
        to.execute(f"pragma {line}")
    to.execute("create table if not exists kept (name blob primary key, place blob, body blob)")
    to.execute("create index if not exists places on kept (place)")

    def read(of: bytes) -> object:
        return to.execute("select body from kept where name = ?", (of,)).fetchone()[0]

    def write(of: bytes, body: bytes) -> object:
        return to.execute("insert or replace into kept values (?, ?, ?)", (of, of[:16], body))

    return read, write


def bare_lmdb(folder: Path) -> tuple[Read, Write]:
    to = lmdb.open(str(folder), map_size=_ROOM, max_dbs=2, sync=False, metasync=False)
    kept, places = to.open_db(b"kept"), to.open_db(b"places", dupsort=True)

    def read(of: bytes) -> object:
        with to.begin(kept) as reading:
            found = reading.get(of)
            assert found
            return found

    def write(of: bytes, body: bytes) -> None:
        with to.begin(write=True) as writing:
            writing.put(of, body, db=kept)
            writing.put(of[:16], of, db=places)

    return read, write


def bare(make: Callable[[Path], tuple[Read, Write]], folder: Path, seconds: float, seed: int) -> Times:
    read, write = make(folder)
    names, times, chance = [name(n) for n in range(KEYS)], Times(read=[], small=[], write=[]), Random(seed)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        number = chance.randrange(KEYS)
        begun = time.perf_counter()
        if chance.random() < 0.01:
            write(names[number], _BLOB[: size(number)])
            times["write"].append(time.perf_counter() - begun)
        else:
            read(names[number])
            took = time.perf_counter() - begun
            times["read"].append(took)
            if size(number) < 16_384:
                times["small"].append(took)
    return times


async def stored(make: Callable[[Path], Awaitable[Store]], folder: Path, seconds: float, seed: int) -> Times:
    store = await make(folder)
    if isinstance(store, MemoryStore):
        await fill(store)
    keys, chance = [key(f"/{n}") for n in range(KEYS)], Random(seed)
    times = Times(read=[], small=[], write=[], lag=[])
    end = time.monotonic() + seconds

    async def lag() -> None:
        while True:
            begun = time.perf_counter()
            await asyncio.sleep(0.001)
            times["lag"].append(time.perf_counter() - begun - 0.001)

    beside = asyncio.create_task(lag())
    while time.monotonic() < end:
        number = chance.randrange(KEYS)
        begun = time.perf_counter()
        if chance.random() < 0.01:
            await store.keep(keys[number], KEPT.holding(_BLOB[: size(number)]))
            times["write"].append(time.perf_counter() - begun)
        else:
            await store.load(keys[number])
            took = time.perf_counter() - begun
            times["read"].append(took)
            if size(number) < 16_384:
                times["small"].append(took)
        await asyncio.sleep(0)
    beside.cancel()
    return times


async def on_disk(folder: Path) -> DiskStore:
    sys.setswitchinterval(0.0005)
    store = DiskStore(folder, max_bytes=_ROOM, max_entry_bytes=1 << 23, clock=Hands())
    await store.open()
    return store


async def tiered(folder: Path) -> Tiered:
    return Tiered(await on_disk(folder), max_bytes=1 << 28)


async def in_memory(_folder: Path) -> MemoryStore:
    store = MemoryStore(max_bytes=_ROOM, max_entry_bytes=1 << 23)
    await fill(store)
    return store


async def on_redis(folder: Path) -> RedisStore:
    address = RedisAddress(hosts=(("127.0.0.1", int((folder / "port").read_text())),))
    store = RedisStore(
        client(address, timeout=1.0, connections=4),
        client(address, timeout=1.0, connections=1),
        MonotonicClock(),
        where="the benchmark",
        boot=boot(),
        timeout=1.0,
        slow=1.0,
    )
    await store.open()
    return store


async def fill(store: Store) -> None:
    for number in range(KEYS):
        await store.keep(key(f"/{number}"), KEPT.holding(_BLOB[: size(number)]))


async def fill_one(folder: Path, what: str) -> None:
    store = await (on_redis if what == "redis" else on_disk)(folder)
    await fill(store)
    await store.close()


def filled(what: str, folder: Path) -> None:
    if "bare" not in what:
        asyncio.run(fill_one(folder, what))
        return
    _, write = (sqlite if "sqlite" in what else bare_lmdb)(folder)
    for number in range(KEYS):
        write(name(number), _BLOB[: size(number)])


def of_store(make: Callable[[Path], Awaitable[Store]], folder: Path, seconds: float, seed: int) -> Times:
    return asyncio.run(stored(make, folder, seconds, seed))


async def many(make: Callable[[Path], Awaitable[Store]], folder: Path) -> dict[str, float]:
    """What 100,000 entries of 1 KiB need: memory by the system's count, and room on the disk."""
    store, before = await make(folder), peak()
    keys: list[Key] = []
    for number in range(MANY):
        where = key(f"/items/{number}")
        await store.keep(where, KEPT.holding(bytes(bytearray(_BLOB[:1024]))))
        keys.append(where) if number % 1000 == 0 else None
    entries, counted = store.usage()
    if isinstance(store, DiskStore | RedisStore):
        await store.close()
    return {"entries": entries, "counted": counted >> 20, "rss": (peak() - before) >> 20}


def need(make: Callable[[Path], Awaitable[Store]], folder: Path) -> dict[str, float]:
    return asyncio.run(many(make, folder))


def _used(server: RedisServer) -> int:
    with server.client() as asked:
        return int(asked.info("memory")["used_memory"])


def shown(times: Times) -> dict[str, list[int]]:
    """Microseconds: p50, p99, and the most."""
    rows = {}
    for what, all_ in times.items():
        ordered = sorted(all_) or [0.0]
        rows[what] = [
            round(ordered[min(len(ordered) - 1, int(len(ordered) * p))] * 1e6) for p in (0.5, 0.99, 1)
        ]
        rows[what].append(len(all_))
    return rows


def main() -> None:
    where, seconds = Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 5.0
    plans: dict[str, Callable[[Path, float, int], Times]] = {
        "sqlite, bare": partial(bare, sqlite),
        "lmdb, bare": partial(bare, bare_lmdb),
        "disk": partial(of_store, on_disk),
        "tier before disk": partial(of_store, tiered),
        "memory": partial(of_store, in_memory),
        "redis": partial(of_store, on_redis),
    }
    served = where / "redis"
    server = RedisServer(served)
    try:
        timed(plans, where, seconds, server)
        counted(where, server)
    finally:
        server.stop()
        shutil.rmtree(served)


def timed(
    plans: dict[str, Callable[[Path, float, int], Times]], where: Path, seconds: float, server: RedisServer
) -> None:
    for what, plan in plans.items():
        folder = where / "stores"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "port").write_text(str(server.port))
        with ProcessPoolExecutor(PROCESSES, get_context("spawn"), max_tasks_per_child=1) as pool:
            pool.submit(filled, what, folder).result()
            got = list(
                pool.map(plan, *zip(*((folder, seconds, seed) for seed in range(PROCESSES)), strict=True))
            )
        together = {part: [one for times in got for one in times[part]] for part in got[0]}
        sys.stdout.write(f"{what}: {json.dumps(shown(together))}\n")
        sys.stdout.flush()


def counted(where: Path, server: RedisServer) -> None:
    folder = where / "stores"
    makes: dict[str, Callable[[Path], Awaitable[Store]]] = {
        "disk": on_disk,
        "memory": in_memory,
        "redis": on_redis,
    }
    for what, make in makes.items():
        shutil.rmtree(folder)
        folder.mkdir()
        (folder / "port").write_text(str(server.port))
        server.ask("FLUSHALL")
        before = _used(server)
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            found = pool.submit(need, make, folder).result()
        found["files"] = sum(file.stat().st_blocks * 512 for file in folder.iterdir()) >> 20
        found["server"] = (_used(server) - before) >> 20
        sys.stdout.write(f"{MANY} of 1 KiB, {what}, MiB: {json.dumps(found)}\n")
        sys.stdout.flush()
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
