import asyncio

import pytest

from proxy.core.allowance import Allowance
from proxy.core.failure import APIError, UpstreamProtocolError
from proxy.gateway.fill import WINDOW, Fill
from proxy.gateway.refresh import Refresh
from tests.garbage import left_behind
from tests.gateway.stage import Pipe, settle, whole


class Watched:
    """A fill and what became of it."""

    def __init__(self, source: Pipe, *, limit: int = 1 << 20, most: int = 1 << 30) -> None:
        self.source = source
        self.kept: list[bytes] = []
        self.ended = 0
        self.errors: list[BaseException] = []
        self.refresh = Refresh(on_error=self.errors.append)
        self.allowance = Allowance(most)
        self.fill = Fill(
            source,
            limit=limit,
            length=source.length,
            allowance=self.allowance,
            kept=self.keep,
            ended=self.end,
        )

    async def keep(self, content: bytes) -> None:
        self.kept.append(content)

    def end(self) -> None:
        self.ended += 1


async def test_all_read_the_same_and_it_is_kept_once() -> None:
    watched = Watched(Pipe())
    readers = [watched.fill.reader() for _ in range(3)]
    watched.fill.start(watched.refresh)
    reading = [asyncio.create_task(whole(reader)) for reader in readers]
    for piece in (b"one ", b"two"):
        watched.source.put(piece)
        await settle()
    late = watched.fill.reader()
    watched.source.put(None)
    assert await asyncio.gather(*reading, whole(late)) == [b"one two"] * 4
    assert watched.kept == [b"one two"]
    assert (watched.ended, watched.fill.joinable, watched.source.closed) == (1, False, True)
    assert watched.allowance.held == 0
    await settle()
    assert len(watched.refresh) == 0


async def test_pieces_are_given_out_as_they_come() -> None:
    watched = Watched(Pipe(b"event"))
    reader = watched.fill.reader()
    watched.fill.start(watched.refresh)
    assert await reader.read() == b"event"
    assert watched.kept == []
    reader.close()
    await settle()


async def test_nobody_holds_the_last_byte_before_it_is_kept() -> None:
    watched = Watched(Pipe(b"ab", b"cd", length=4))
    reader = watched.fill.reader()
    watched.fill.start(watched.refresh)
    assert await reader.read() == b"ab"
    last = asyncio.create_task(reader.read())
    await settle()
    assert not last.done()
    watched.source.put(None)
    assert await last == b"cd"
    assert watched.kept == [b"abcd"]
    assert await reader.read() == b""
    assert await reader.read() == b""


@pytest.mark.parametrize("pieces", [(b"ab", None), (b"abc", b"de", None), (None,), (b"ab", b"cdef", None)])
async def test_another_length_than_announced_is_an_error_and_not_kept(
    pieces: tuple[bytes | None, ...],
) -> None:
    watched = Watched(Pipe(*pieces, length=4))
    readers = [watched.fill.reader(), watched.fill.reader()]
    watched.fill.start(watched.refresh)
    for outcome in await asyncio.gather(*(whole(reader) for reader in readers), return_exceptions=True):
        assert isinstance(outcome, UpstreamProtocolError)
    assert watched.kept == []
    assert watched.source.closed


async def test_an_empty_body() -> None:
    watched = Watched(Pipe(None, length=0))
    reader = watched.fill.reader()
    watched.fill.start(watched.refresh)
    assert await whole(reader) == b""
    assert watched.kept == [b""]


async def test_an_error_reaches_every_reader_after_what_came_before_it() -> None:
    watched = Watched(Pipe(b"ab", UpstreamProtocolError("cut")))
    readers = [watched.fill.reader() for _ in range(3)]
    watched.fill.start(watched.refresh)
    await settle()
    raised: list[APIError] = []
    for reader in readers:
        assert await reader.read() == b"ab"
        with pytest.raises(UpstreamProtocolError, match="cut") as caught:
            await reader.read()
        raised.append(caught.value)
    assert len({id(error) for error in raised}) == 3
    assert watched.kept == []
    assert watched.ended == 1


async def test_the_last_reader_stops_the_source() -> None:
    watched = Watched(Pipe(b"ab"))
    readers = [watched.fill.reader(), watched.fill.reader()]
    task_count = len(asyncio.all_tasks())
    watched.fill.start(watched.refresh)
    await settle()
    readers[0].close()
    readers[0].close()
    await settle()
    early = watched.source.closed
    readers[1].close()
    assert (early, watched.source.closed) == (False, True)
    await settle()
    assert len(asyncio.all_tasks()) == task_count
    assert (watched.kept, watched.ended, watched.allowance.held) == ([], 1, 0)


async def test_a_reader_that_was_closed_does_not_see_a_clean_end() -> None:
    watched = Watched(Pipe(b"ab"))
    reader = watched.fill.reader()
    watched.fill.start(watched.refresh)
    await reader.read()
    reader.close()
    with pytest.raises(UpstreamProtocolError):
        await reader.read()


async def test_leaving_before_the_first_step_still_closes_the_source() -> None:
    watched = Watched(Pipe(b"ab"))
    reader = watched.fill.reader()
    watched.fill.start(watched.refresh)
    reader.close()
    assert watched.source.closed
    await settle()
    assert len(watched.refresh) == 0


async def test_a_drained_proxy_cuts_its_readers_visibly() -> None:
    for steps in (0, 1):
        watched = Watched(Pipe(b"ab"))
        reader = watched.fill.reader()
        watched.fill.start(watched.refresh)
        for _ in range(steps):
            await settle()
        assert await watched.refresh.drain(0) == 1
        await settle()
        with pytest.raises(UpstreamProtocolError):
            await whole(reader)
        assert watched.source.closed


async def test_a_complete_body_is_kept_although_its_readers_have_gone() -> None:
    watched = Watched(Pipe(b"ab", None))
    storing = asyncio.Event()
    stored: list[bytes] = []

    async def slow(content: bytes) -> None:
        await storing.wait()
        stored.append(content)

    watched.fill._kept = slow
    reader = watched.fill.reader()
    watched.fill.start(watched.refresh)
    await settle()
    reader.close()
    storing.set()
    await settle()
    assert stored == [b"ab"]


async def test_a_failing_store_cuts_readers_rather_than_hang_them() -> None:
    watched = Watched(Pipe(b"ab", None))

    async def broken(content: bytes) -> None:
        raise OSError("disk")

    watched.fill._kept = broken
    reader = watched.fill.reader()
    watched.fill.start(watched.refresh)
    with pytest.raises(UpstreamProtocolError):
        await whole(reader)
    assert isinstance(watched.errors[0], OSError)


PIECE = b"x" * (WINDOW // 4)


async def test_what_proves_too_large_becomes_a_window() -> None:
    watched = Watched(Pipe(*[PIECE] * 40, None), limit=WINDOW // 2)
    fast, slow = watched.fill.reader(), watched.fill.reader()
    watched.fill.start(watched.refresh)
    await settle()
    assert not watched.fill.joinable
    assert watched.fill.outgrown
    assert watched.allowance.held == 0
    # The slow one holds the source back: no more than the window, and the piece that filled it.
    ahead = asyncio.create_task(whole(fast))
    await settle()
    assert watched.source.given <= 6
    assert watched.fill._held <= WINDOW + 2 * len(PIECE)
    assert await slow.read() == PIECE
    await settle()
    assert watched.fill._held <= WINDOW + 2 * len(PIECE)
    # Once it has left, the other one sets the pace.
    slow.close()
    assert await ahead == PIECE * 40
    assert watched.kept == []
    assert watched.fill._held == 0


async def test_tiny_pieces_are_counted_with_what_they_cost() -> None:
    watched = Watched(Pipe(*[b"x"] * 1000, None), limit=10_000)
    reader = watched.fill.reader()
    watched.fill.start(watched.refresh)
    await settle()
    assert not watched.fill.joinable
    assert await whole(reader) == b"x" * 1000
    assert watched.kept == []


async def test_a_window_gives_each_reader_every_byte() -> None:
    pieces = [bytes([number]) * 100_000 for number in range(60)]
    watched = Watched(Pipe(*pieces, None), limit=250_000)
    readers = [watched.fill.reader() for _ in range(5)]
    watched.fill.start(watched.refresh)
    first = await readers[0].read()
    await settle()
    bodies = await asyncio.gather(*(whole(reader) for reader in readers))
    assert bodies == [b"".join(pieces[1:]), *[b"".join(pieces)] * 4]
    assert first == pieces[0]


async def test_sliding_by_order() -> None:
    watched = Watched(Pipe(b"ab"))
    first, second = watched.fill.reader(), watched.fill.reader()
    watched.fill.start(watched.refresh)
    assert await first.read() == b"ab"
    watched.fill.slide()
    watched.fill.slide()
    watched.source.put(b"cd", None)
    assert await whole(first) == b"cd"
    assert await whole(second) == b"abcd"
    assert watched.kept == []
    assert not watched.fill.outgrown


async def test_all_fills_share_one_allowance() -> None:
    one = Watched(Pipe(b"x" * 60), most=200)
    reader = one.fill.reader()
    one.fill.start(one.refresh)
    await settle()
    assert 60 <= one.allowance.held <= 160
    other = Watched(Pipe(b"y" * 60, None))
    other.fill._allowance = one.allowance
    along = other.fill.reader()
    other.fill.start(other.refresh)
    assert await whole(along) == b"y" * 60
    assert (other.kept, other.fill.outgrown) == ([], False)
    one.source.put(None)
    assert await whole(reader) == b"x" * 60
    assert one.kept == [b"x" * 60]
    assert one.allowance.held == 0


async def test_a_thousand_readers() -> None:
    watched = Watched(Pipe())
    reading = [asyncio.create_task(whole(watched.fill.reader())) for _ in range(1000)]
    tasks = len(asyncio.all_tasks())
    watched.fill.start(watched.refresh)
    for _ in range(5):
        watched.source.put(b"piece")
        await settle()
    for task in reading[::2]:
        task.cancel()
    await settle()
    assert len(asyncio.all_tasks()) == tasks + 1 - 500
    watched.source.put(None)
    assert await asyncio.gather(*reading[1::2]) == [b"piece" * 5] * 500


async def test_what_is_over_is_not_left_as_garbage() -> None:
    with left_behind() as garbage:
        watched = Watched(Pipe(b"whole", length=5))
        reader = watched.fill.reader()
        watched.fill.start(watched.refresh)
        watched.source.put(None)
        assert await whole(reader) == b"whole"
        await settle()
        del watched, reader
    assert garbage == []
