"""Writes into a folder, is killed at any moment, and looks at what is left; says what it found as JSON.

Run as a process of its own by test_killed: it forks, which one with threads had better not do.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import struct
import sys
import time
from pathlib import Path
from random import Random

from proxy.stores import disk
from proxy.stores.disk import DiskStore
from tests.stores.contract import KEPT, Hands, key

ROUNDS = 200
KEYS = 24
ROOM = 8 << 20
_SAID = struct.Struct("=II?")  # of which key, by which write, and whether it is kept now


def body(number: int, turn: int, size: int) -> bytes:
    """Says of itself in every byte which write of which key it is, and how long it has to be."""
    mark = struct.pack("=III", number, turn, size)
    return (mark * (size // len(mark) + 1))[:size]


def whole(found: bytes, number: int) -> int:
    """Which write it is. Raises AssertionError where it is none."""
    named, turn, size = struct.unpack_from("=III", found)
    assert named == number, "another key's"
    assert found == body(number, turn, size), "cut, or of two"
    return int(turn)


# A busy machine is not what is tested here.
disk._PATIENCE = disk._OPEN_WITHIN = 60.0


async def write(folder: Path, said: int, seed: int, begin: int) -> None:
    store = DiskStore(folder, max_bytes=ROOM, max_entry_bytes=ROOM, clock=Hands())
    await store.open()
    chance, turn = Random(seed), begin
    while True:
        turn += 1
        number = chance.randrange(KEYS)
        size = int(12 * 16_000 ** chance.random())
        if await store.keep(key(f"/{number}"), KEPT.holding(body(number, turn, size))):
            os.write(said, _SAID.pack(number, turn, True))
        if not chance.randrange(8):
            await store.drop(key(f"/{(number + 1) % KEYS}"))
            os.write(said, _SAID.pack((number + 1) % KEYS, turn, False))


async def look(folder: Path, told: dict[int, tuple[int, bool]], evicted: list[str]) -> int:
    """How many entries there are; each has to be whole, and none older than what was told of it.

    One may be missing: the one that was just being dropped.
    """
    store = DiskStore(folder, max_bytes=ROOM, max_entry_bytes=ROOM, clock=Hands(), on_evict=evicted.append)
    await store.open()
    assert store.trouble is None
    there, missing = 0, 0
    for number in range(KEYS):
        found = await store.load(key(f"/{number}"))
        turn, kept = told.get(number, (0, False))
        for entry in found:
            assert whole(entry.body, number) >= turn, "what had been replaced is back"
        there += len(found)
        missing += kept and not found
        told[number] = (turn, bool(found))
    assert missing <= 1, "what had been kept is lost"
    assert store.usage()[0] == there
    await store.close()
    return there


def one(folder: Path, number: int, told: dict[int, tuple[int, bool]], begin: int) -> None:
    """One life: writes until it is killed."""
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        asyncio.run(write(folder, into, number, begin))
    os.close(into)
    first = os.read(out, _SAID.size)  # it has begun
    time.sleep(Random(number).random() * 0.03)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    rest = b""
    while piece := os.read(out, 1 << 16):
        rest += piece
    os.close(out)
    told.update({where: (turn, kept) for where, turn, kept in _SAID.iter_unpack(first + rest)})


def main() -> None:
    folder = Path(sys.argv[1])
    told: dict[int, tuple[int, bool]] = {}
    evicted: list[str] = []
    left = 0
    for number in range(ROUNDS):
        one(folder, number, told, number * 100_000)
        left += asyncio.run(look(folder, told, evicted))
    sys.stdout.write(
        json.dumps({"rounds": ROUNDS, "entries": left, "unread": len(evicted), "writes": len(told)})
    )


if __name__ == "__main__":
    main()
