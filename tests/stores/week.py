"""A week of a busy cache by a clock that is turned: prints what the store counts, and what the system says.

Run as a process of its own by test_week, because memory that others have used before would hide its own.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from random import Random

from proxy.core.caching.key import Key, identify
from proxy.core.caching.purge import Purge
from proxy.core.caching.serving import serve
from proxy.stores.memory import MemoryStore
from tests.core.caching.samples import NOW, SECRET, WALL, entry, request, route

KEYS = 100_000
ASKED = 150_000
WEEK = 7 * 86_400.0
MAX_BYTES = 48 * 1024 * 1024
_LONG = bytes(range(256)) * 200


def peak() -> int:
    """Bytes of memory that this process has held at most."""
    status = Path("/proc/self/status")
    if status.exists():  # what getrusage says there begins with the parent's
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


async def week() -> dict[str, float]:
    chance = Random(20260715)
    evicted: dict[str, int] = {}

    def told(reason: str) -> None:
        evicted[reason] = evicted.get(reason, 0) + 1

    on = route()
    kinds = [
        entry(
            *[("Cache-Control", f"max-age={60 * 10**n}"), ("Content-Type", "application/json")],
            *[(f"X-Field-{field}", f"value {field}") for field in range(n * 4)],
        )
        for n in range(5)
    ]
    shares = list(accumulate(1 / rank**0.6 for rank in range(1, KEYS + 1)))
    numbers = chance.choices(range(KEYS), cum_weights=shares, k=ASKED - KEYS) + list(range(KEYS))
    chance.shuffle(numbers)
    before = peak()
    store = MemoryStore(max_bytes=MAX_BYTES, max_entry_bytes=1 << 20, on_evict=told)
    hits, most = 0, 0
    for count, number in enumerate(numbers):
        now = NOW + WEEK * count / ASKED
        asked = request(target=f"/items/{number}?page={number % 7}")
        key = identify(asked, on, secret=SECRET)
        assert isinstance(key, Key)
        kept = store.peek(key)
        if kept and kept[0].fresh(now):
            serve(asked, kept[0], "leeward; hit", now=now, wall=WALL)
            hits += 1
        else:
            kind = kinds[number % 5]
            # Fields are each entry's own, as they are when they come from a connection.
            fields = type(kind.headers)(
                (bytes(bytearray(n)), bytes(bytearray(v))) for n, v in kind.headers.fields
            )
            size = chance.randrange(200, 4000) if number % 50 else chance.randrange(20_000, 50_000)
            tags = (f"item-{number}", f"kind-{number % 100}")
            fresh = replace(kind, headers=fields, received=now, tags=tags)
            await store.keep(key, fresh.holding(_LONG[:size]))
        most = max(most, store.usage()[1])
        if count % 5000 == 4999:
            await store.purge(Purge(tag=f"kind-{count // 5000}"))
    entries, size = store.usage()
    return {
        "growth": peak() - before,
        "most": most,
        "entries": entries,
        "bytes": size,
        "hits": hits,
        **evicted,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(week())))
