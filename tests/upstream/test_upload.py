"""Does a large request body go out whole, as fast as it is taken, or not at all?"""

from __future__ import annotations

import asyncio

import pytest

from proxy.core.failure import (
    BadRequestError,
)
from tests.origin import End, Gate
from tests.upstream.conftest import OK, Endless, Pieces, Way, whole


async def test_a_body_of_unknown_length_goes_out_in_chunks(way: Way) -> None:
    way.origin.on("/x").raw(OK)
    assert (await way.ask("POST", body=Pieces(b"abc", b"d" * 200_000))).status == 200
    hit = way.origin.hit()
    assert (hit.headers("content-length"), hit.headers("transfer-encoding")) == ([], ["chunked"])
    assert (hit.complete, hit.body) == (True, b"abc" + b"d" * 200_000)


@pytest.mark.parametrize("then", ["hold", "close", "reset", "drain"])
async def test_an_early_refusal_is_relayed_and_the_upload_stopped(way: Way, then: End) -> None:
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"
    gate = Gate()
    way.origin.on("/x").raw(refusal, gate, then=then, read_body=False)
    gate.open()
    endless = Endless()
    got = await way.ask("POST", body=endless)
    assert (got.status, got.body) == (413, b"no")
    pulled = endless.pulled
    await asyncio.sleep(0.02)
    assert endless.pulled == pulled
    assert way.counts == (0, 0)


async def test_a_success_may_begin_while_the_request_is_still_sent(way: Way) -> None:
    gate = Gate()
    released = asyncio.Event()

    class Slow(Pieces):
        async def read(self) -> bytes:
            if self.pulled == 1:
                await released.wait()
            return await super().read()

    way.origin.on("/x").raw(
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nda", gate, b"ta", then="drain", read_body=False
    )
    got = await way.open("POST", body=Slow(b"one", b"two"))
    assert got.response is not None
    assert await got.response.body.read() == b"da"
    released.set()
    gate.open()
    assert await whole(got.response) == b"ta"


@pytest.mark.parametrize("length", [None, 200_000])
async def test_a_callers_body_cut_short_is_never_a_complete_request(way: Way, length: int | None) -> None:
    way.origin.on("/x").raw(OK)
    body = Pieces(b"x" * 100_000, BadRequestError("the caller left"), length=length)
    got = await way.ask("PUT", body=body)
    assert isinstance(got.failure, BadRequestError)
    assert got.failure.detail == "the caller left"
    hits = await asyncio.to_thread(way.origin.wait_for, "/x")
    await asyncio.to_thread(hits[0].gone.wait, 5)
    assert [hit.complete for hit in way.origin.hits()] == [False]
    assert way.counts == (0, 0)


@pytest.mark.parametrize("pieces", [(b"x" * 100_000,), (b"x" * 100_000, b"x" * 100_001)])
async def test_a_body_of_another_length_than_said(way: Way, pieces: tuple[bytes, ...]) -> None:
    way.origin.on("/x").raw(OK)
    got = await way.ask("POST", body=Pieces(*pieces, length=200_000))
    assert isinstance(got.failure, BadRequestError)
    assert not any(hit.complete for hit in way.origin.hits())


async def test_an_upload_is_pulled_no_faster_than_the_upstream_takes_it(way: Way) -> None:
    gate = Gate()
    way.origin.on("/x").raw(gate, OK, read_body=False)
    endless = Endless()
    task = asyncio.ensure_future(way.ask("POST", body=endless))
    await asyncio.to_thread(gate.reached.wait)
    seen = -1
    while endless.pulled != seen:
        seen = endless.pulled
        await asyncio.sleep(0.05)
    assert seen < 16 * 1024 * 1024  # what loopback's socket buffers take
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("length", [None, 300_000])
async def test_an_answer_to_a_whole_request_keeps_the_connection(way: Way, length: int | None) -> None:
    way.origin.on("/x").raw(OK)
    for _ in range(5):
        got = await way.ask("PUT", body=Pieces(b"x" * 100_000, b"x" * 200_000, length=length))
        assert (got.body, way.counts) == (b"ok", (0, 1))
    assert len({hit.connection for hit in way.origin.hits()}) == 1


async def test_a_body_of_known_length_is_not_asked_for_its_end(way: Way) -> None:
    """Callers on a slow line take a while to say that there is no more."""

    class Silent(Pieces):
        async def read(self) -> bytes:
            if not self.left:
                await asyncio.Event().wait()
            return await super().read()

    way.origin.on("/x").raw(OK)
    got = await way.ask("PUT", body=Silent(b"x" * 100_000, b"x" * 100_000, length=200_000))
    assert (got.body, way.counts) == (b"ok", (0, 1))


BEGUN = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nda"


class Held(Pieces):
    """Holds its second piece back until it is released."""

    def __init__(self, *pieces: bytes | BaseException) -> None:
        super().__init__(*pieces)
        self.released = asyncio.Event()

    async def read(self) -> bytes:
        if self.pulled == 1:
            await self.released.wait()
        return await super().read()


async def test_a_caller_that_breaks_off_while_the_answer_streams(way: Way) -> None:
    way.origin.on("/x").raw(BEGUN, then="drain", read_body=False)
    body = Held(b"one", BadRequestError("the caller left"))
    got = await way.open("POST", body=body)
    assert got.response is not None
    assert await got.response.body.read() == b"da"
    body.released.set()
    with pytest.raises(BadRequestError, match="the caller left"):
        await got.response.body.read()
    hit = way.origin.hit()
    assert await asyncio.to_thread(hit.gone.wait, 5)
    assert (hit.complete, way.counts) == (False, (0, 0))


async def test_an_answer_that_ends_before_the_request_does(way: Way) -> None:
    gate = Gate()
    way.origin.on("/x").raw(BEGUN, gate, b"ta", then="drain", read_body=False)
    got = await way.open("POST", body=Held(b"one", b"two"))
    assert got.response is not None
    gate.open()
    assert await whole(got.response) == b"data"
    assert (way.origin.hit().complete, way.counts) == (False, (0, 0))


async def test_an_answer_given_up_stops_the_upload(way: Way) -> None:
    before = asyncio.all_tasks()
    way.origin.on("/x").raw(BEGUN, then="drain", read_body=False)
    got = await way.open("POST", body=Held(b"one", b"two"))
    assert got.response is not None
    got.response.body.close()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (asyncio.all_tasks() - before, way.counts) == (set(), (0, 0))
