"""One process at a time, and what another changes is seen; each in real processes."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proxy.core.ports import Turn
from proxy.stores.turns import LocalTurns
from tests.running import ROOT

LONG = 30.0

OTHER = """
import asyncio, sys
from pathlib import Path
from proxy.stores.turns import LocalTurns
turns = LocalTurns(Path(sys.argv[1]))
for line in sys.stdin:
    said, name = line.split()
    name = name.encode()
    if said == "take":
        print(asyncio.run(turns.take(name, 0)).value, flush=True)
    elif said in ("end", "free"):
        turns.end(name, shared=said == "end")
        print(flush=True)
    elif said == "note":
        turns.note(name)
        print(flush=True)
"""


class Other:
    """Another process with the same file."""

    def __init__(self, path: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", OTHER, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def say(self, said: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(said + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "turns"


@pytest.fixture
def turns(path: Path) -> Iterator[LocalTurns]:
    opened = LocalTurns(path)
    yield opened
    opened.close()


@pytest.fixture
def other(path: Path) -> Iterator[Other]:
    process = Other(path)
    yield process
    process.kill()


async def told(other: Other, said: str) -> str:
    return await asyncio.to_thread(other.say, said)


async def test_a_turn_that_nobody_has_is_mine_and_comes_back(turns: LocalTurns, other: Other):
    assert await turns.take(b"a", LONG) is Turn.MINE
    assert await told(other, "take a") == "alone"
    assert await told(other, "take b") == "mine"
    turns.end(b"a", shared=True)
    assert await told(other, "take a") == "mine"


async def test_within_a_process_who_comes_later_has_it_too(turns: LocalTurns, other: Other):
    assert await turns.take(b"a", 0) is Turn.MINE
    assert await turns.take(b"a", 0) is Turn.MINE
    turns.end(b"a", shared=True)
    assert await told(other, "take a") == "alone"
    turns.end(b"a", shared=True)
    assert await told(other, "take a") == "mine"


async def ended(turns: LocalTurns, other: Other, how: Callable[[], object]) -> Turn:
    """What who waits hears when the other's turn ends in this way."""
    assert await told(other, "take a") == "mine"
    waiting = asyncio.create_task(turns.take(b"a", LONG))
    await asyncio.sleep(0)
    assert not waiting.done()
    await asyncio.to_thread(how)
    return await waiting


async def test_who_waits_looks_again_when_the_turn_is_over(turns: LocalTurns, other: Other):
    assert await ended(turns, other, lambda: other.say("end a")) is Turn.OVER
    assert await turns.take(b"a", 0) is Turn.MINE


async def test_nobody_waits_for_what_cannot_be_shared(turns: LocalTurns, other: Other):
    assert await ended(turns, other, lambda: other.say("free a")) is Turn.ALONE


async def test_a_process_that_is_killed_loses_its_turns(turns: LocalTurns, other: Other):
    assert await ended(turns, other, other.kill) is Turn.OVER
    assert await turns.take(b"a", 0) is Turn.MINE


async def test_patience_ends(turns: LocalTurns, other: Other):
    assert await told(other, "take a") == "mine"
    assert await turns.take(b"a", 0.01) is Turn.ALONE


async def test_a_change_is_seen_by_every_process(turns: LocalTurns, other: Other):
    before, elsewhere = turns.seen(b"a"), turns.seen(b"b")
    await told(other, "note a")
    assert turns.seen(b"a") != before
    assert turns.seen(b"b") == elsewhere
    now = turns.seen(b"a")
    turns.note(b"a")
    assert turns.seen(b"a") != now


def test_a_file_that_cannot_be_had_is_told(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        LocalTurns(tmp_path / "none" / "turns")


def test_a_link_is_not_followed(tmp_path: Path):
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic link"):
        LocalTurns(tmp_path / "link")
    assert not (tmp_path / "elsewhere").exists()
