"""Is a body sent again exactly as it was sent, or not at all?"""

from __future__ import annotations

import asyncio
import gc
import logging
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.allowance import Allowance
from proxy.core.failure import BadRequestError, InternalError
from proxy.core.message import Whole
from proxy.core.reason import Reason
from proxy.upstream.replay import ONE_WRITE, Replay, Rooms, finished, prepared, replayable
from proxy.upstream.spool import Spool, Spools
from tests.upstream.conftest import Pieces


async def everything(body: Whole | Replay) -> list[bytes]:
    pieces = []
    while piece := await body.read():
        pieces.append(piece)
    return pieces


@settings(deadline=None)
@given(
    pieces=st.lists(st.binary(min_size=1, max_size=9), max_size=9),
    cut=st.integers(0, 10),
    most=st.integers(0, 60),
)
async def test_what_is_read_again_is_what_was_read(pieces: list[bytes], cut: int, most: int) -> None:
    body = Replay(Pieces(*pieces), most)
    for _ in range(cut):
        await body.read()
    pulled = sum(map(len, pieces[:cut]))
    assert body.replayable is (pulled <= most)
    if body.replayable:
        body.rewind()
        assert await everything(body) == pieces
        assert await body.read() == b""


async def test_what_cannot_fit_is_not_kept() -> None:
    body = Replay(Pieces(b"abc", length=3), 2)
    assert body.replayable
    body.rewind()
    assert await body.read() == b"abc"
    assert not body.replayable


async def test_a_small_body_is_gathered() -> None:
    body = await prepared(Pieces(b"ab", b"c", length=3), 10)
    assert isinstance(body, Whole)
    assert (body.data, replayable(body, 3), replayable(body, 2)) == (b"abc", True, False)


@pytest.mark.parametrize("length", [None, ONE_WRITE + 1])
async def test_a_large_or_endless_body_is_not(length: int | None) -> None:
    source = Pieces(b"abc", length=length)
    body = await prepared(source, 10**6)
    assert isinstance(body, Replay)
    assert (body.length, source.pulled, replayable(body, 10**6)) == (length, 0, True)
    body.close()
    assert source.left == []


@pytest.mark.parametrize("pieces", [(b"a",), (b"abc", b"d")])
async def test_a_small_body_of_another_length_than_said(pieces: tuple[bytes, ...]) -> None:
    with pytest.raises(BadRequestError):
        await prepared(Pieces(*pieces, length=3), 10)


async def test_a_whole_body_stays_itself() -> None:
    body = Whole(b"abc")
    assert await prepared(body, 0) is body


# On disk


def rooms(folder: Path | str | None = None, *, memory: int = 10**6, disk: int = 10**6) -> Rooms:
    return Rooms(
        memory=Allowance(memory), disk=Allowance(disk), spools=Spools(None if folder is None else str(folder))
    )


def held(of: Rooms) -> tuple[int, int]:
    return of.memory.held, of.disk.held


@settings(deadline=None)
@given(
    pieces=st.lists(st.binary(min_size=1, max_size=9), max_size=9),
    cuts=st.lists(st.integers(0, 10), max_size=3),
    most=st.integers(0, 40),
    spooled=st.integers(0, 90),
    memory=st.integers(0, 50),
    disk=st.integers(0, 100),
    known=st.booleans(),
)
async def test_wherever_it_is_kept_it_is_read_again_whole(
    *,
    pieces: list[bytes],
    cuts: list[int],
    most: int,
    spooled: int,
    memory: int,
    disk: int,
    known: bool,
) -> None:
    there = rooms(memory=memory, disk=disk)
    whole = b"".join(pieces)
    source = Pieces(*pieces, length=len(whole) if known else None)
    body = Replay(source, most, spooled=spooled, rooms=there)
    for cut in cuts:
        got = b""
        for _ in range(cut):
            got += await body.read()
        assert whole.startswith(got)
        assert there.memory.held <= memory
        assert there.disk.held <= disk
        if not body.replayable:
            break
        body.rewind()
    if body.replayable:
        assert b"".join(await everything(body)) == whole
        assert (body.unkept is None) is body.replayable
    else:
        assert body.unkept is not None
    body.forget()
    body.close()
    assert held(there) == (0, 0)


async def test_what_memory_does_not_take_goes_to_disk(tmp_path: Path) -> None:
    there = rooms(tmp_path)
    body = Replay(Pieces(b"abc", b"def", b"ghi"), 4, spooled=100, rooms=there)
    assert await body.read() == b"abc"
    assert held(there) == (3, 0)
    assert await body.read() == b"def"
    assert held(there) == (0, 6)
    body.rewind()
    assert await everything(body) == [b"abcdef", b"ghi"]
    assert (held(there), body.unkept) == ((0, 9), None)
    body.forget()
    assert held(there) == (0, 0)


async def test_what_is_known_to_be_large_goes_to_disk_at_once(tmp_path: Path) -> None:
    there = rooms(tmp_path)
    body = Replay(Pieces(b"abc", b"def", length=6), 4, spooled=6, rooms=there)
    await body.read()
    assert held(there) == (0, 3)
    body.close()


async def test_where_memory_is_full_disk_is_taken(tmp_path: Path) -> None:
    there = rooms(tmp_path, memory=2)
    body = Replay(Pieces(b"abc", length=3), 10, spooled=10, rooms=there)
    await body.read()
    assert (held(there), body.replayable) == ((0, 3), True)
    body.close()


@pytest.mark.parametrize(
    ("spooled", "memory", "disk", "reason"),
    [
        (0, 100, 100, Reason.BODY_TOO_LARGE),
        (4, 100, 100, Reason.BODY_TOO_LARGE),
        (100, 100, 4, Reason.NO_ROOM),
        (0, 1, 100, Reason.NO_ROOM),
    ],
)
async def test_what_is_not_kept_says_why_and_goes_once(
    tmp_path: Path, spooled: int, memory: int, disk: int, reason: Reason
) -> None:
    there = rooms(tmp_path, memory=memory, disk=disk)
    body = Replay(Pieces(b"abc", b"def"), 4, spooled=spooled, rooms=there)
    assert await everything(body) == [b"abc", b"def"]
    assert (body.replayable, body.unkept, held(there)) == (False, reason, (0, 0))


async def test_a_disk_that_takes_nothing_lets_it_go_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    there = rooms(tmp_path / "none")
    body = Replay(Pieces(b"abc", b"def"), 0, spooled=100, rooms=there)
    with caplog.at_level(logging.WARNING, "leeward.upstream"):
        assert await everything(body) == [b"abc", b"def"]
    assert (body.unkept, held(there)) == (Reason.SPOOL_FAILED, (0, 0))
    assert "sent once: No such file" in caplog.text


class Slow(Spools):
    """Writes wait until they are let."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder))
        self.free = asyncio.Event()
        self.entered = asyncio.Event()

    async def run(self, work):
        self.entered.set()
        await self.free.wait()
        return await super().run(work)


async def test_one_that_is_stopped_while_it_writes_has_lost_nothing(tmp_path: Path) -> None:
    slow = Slow(tmp_path)
    there = Rooms(memory=Allowance(100), disk=Allowance(100), spools=slow)
    body = Replay(Pieces(b"abc", b"def"), 0, spooled=100, rooms=there)
    reading = asyncio.create_task(body.read())
    await slow.entered.wait()
    reading.cancel()
    await asyncio.wait({reading})
    assert held(there) == (0, 0)
    slow.free.set()
    body.rewind()
    assert b"".join(await everything(body)) == b"abcdef"
    body.rewind()
    assert b"".join(await everything(body)) == b"abcdef"
    body.close()


async def test_what_cannot_be_had_back_is_never_taken_for_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = rooms(tmp_path)
    body = Replay(Pieces(b"abc"), 0, spooled=100, rooms=there)
    await body.read()
    body.rewind()
    monkeypatch.setattr(Spool, "read", lambda *_: asyncio.sleep(0, b""))
    with pytest.raises(InternalError, match="not there any more"):
        await body.read()

    async def broken(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Spool, "read", broken)
    with pytest.raises(InternalError, match="cannot be read"):
        await body.read()
    body.close()


async def test_after_the_last_attempt_only_what_is_still_to_be_sent_is_kept() -> None:
    there = rooms()
    body = Replay(Pieces(b"abc", b"def", b"ghi"), 100, rooms=there)
    for _ in range(2):
        await body.read()
    body.rewind()
    assert await body.read() == b"abc"
    body.forget()
    assert held(there) == (6, 0)
    assert await everything(body) == [b"def", b"ghi"]
    assert held(there) == (0, 0)


async def test_one_that_nobody_reads_to_its_end_gives_its_room_back() -> None:
    there = rooms()
    body = Replay(Pieces(b"abc", b"def"), 100, rooms=there)
    await body.read()
    body.rewind()
    body.forget()
    assert held(there) == (3, 0)
    del body
    gc.collect()
    assert held(there) == (0, 0)


async def test_a_small_body_is_counted_as_well() -> None:
    there = rooms(memory=5)
    source = Pieces(b"abc", length=3)
    body = await prepared(source, 10, rooms=there)
    assert (isinstance(body, Whole), held(there)) == (True, (3, 0))
    streamed = await prepared(Pieces(b"abc", length=3), 10, rooms=there)
    assert isinstance(streamed, Replay)
    assert await everything(streamed) == [b"abc"]
    assert finished(streamed, source, there, 10) is Reason.NO_ROOM
    assert finished(body, source, there, 10) is None
    assert held(there) == (0, 0)


async def test_a_body_that_is_not_what_it_says_leaves_no_room_taken() -> None:
    there = rooms()
    with pytest.raises(BadRequestError):
        await prepared(Pieces(b"a", length=3), 10, rooms=there)
    assert held(there) == (0, 0)


async def test_a_whole_body_is_its_makers_to_count() -> None:
    there, body = rooms(), Whole(b"abc")
    assert finished(await prepared(body, 1, rooms=there), body, there, 1) is Reason.BODY_TOO_LARGE
    assert held(there) == (0, 0)


def test_other_bounds_leave_what_is_held() -> None:
    there = rooms(memory=5, disk=5)
    assert there.memory.take(4)
    assert there.bounded(memory=3, disk=9) is there
    assert (there.held(), there.memory.take(0)) == ({"memory": 4, "disk": 0}, False)
    assert there.disk.take(9)
