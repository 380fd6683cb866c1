"""Is a body whole or visibly broken, and read no faster than it is wanted?"""

from __future__ import annotations

import asyncio
import time

import pytest

from proxy.core.failure import (
    DeadlineExceededError,
    UpstreamProtocolError,
    UpstreamTimeoutError,
)
from proxy.upstream.arriving import Arriving
from tests.origin import Gate
from tests.upstream.conftest import HEAD, Way, whole

CUT = {
    "length": HEAD + b"Content-Length: 10\r\n\r\n12345",
    "no body at all": HEAD + b"Content-Length: 10\r\n\r\n",
    "chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n5\r\n",
    "last chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n",
    "chunk's end": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n",
    "chunk size": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\nxyz\r\n",
    "negative chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n-5\r\n12345\r\n0\r\n\r\n",
    "chunk too long": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n1234567\r\n0\r\n\r\n",
    "huge chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n12345",
}


@pytest.mark.parametrize("name", CUT)
async def test_a_body_cut_short_never_ends_cleanly(way: Way, name: str) -> None:
    way.origin.on("/x").raw(CUT[name], then="close")
    got = await way.ask()
    assert got.status == 200
    assert isinstance(got.failure, UpstreamProtocolError)
    assert got.body in (b"12345", b"")
    # After the first byte of an answer there is no second attempt.
    assert (way.origin.count(), way.counts) == (1, (0, 0))


@pytest.mark.parametrize("name", sorted(CUT.keys() - {"no body at all"}))
async def test_a_body_cut_short_while_it_is_awaited(way: Way, name: str) -> None:
    gate = Gate()
    way.origin.on("/x").raw(HEAD + CUT[name].partition(b"\r\n")[2][:-1], gate, CUT[name][-1:], then="close")
    got = await way.open()
    assert got.response is not None
    reading = asyncio.ensure_future(whole(got.response))
    await asyncio.to_thread(gate.reached.wait)
    gate.open()
    with pytest.raises(UpstreamProtocolError):
        await asyncio.wait_for(reading, 10)


async def test_a_body_that_ends_with_the_connection_is_whole(way: Way) -> None:
    way.origin.on("/x").raw(HEAD + b"\r\n" + b"x" * 200_000, then="close")
    got = await way.ask()
    assert (got.failure, len(got.body), way.counts) == (None, 200_000, (0, 0))


async def test_a_reset_is_not_the_end_of_such_a_body(way: Way) -> None:
    gate = Gate()
    way.origin.on("/x").raw(HEAD + b"\r\n12345", gate, then="reset")
    got = await way.open()
    assert got.response is not None
    assert await got.response.body.read() == b"12345"
    gate.open()
    with pytest.raises(UpstreamProtocolError):
        await got.response.body.read()


async def test_a_download_is_pulled_no_faster_than_it_is_read(way: Way) -> None:
    way.origin.on("/x").flood(64 * 1024 * 1024)
    got = await way.open()
    assert got.response is not None
    await asyncio.sleep(0.2)
    size = 0
    biggest = 0
    while piece := await got.response.body.read():
        size += len(piece)
        biggest = max(biggest, len(piece))
    assert size == 64 * 1024 * 1024
    assert biggest <= 1024 * 1024
    assert way.counts == (0, 1)


async def test_silence_within_a_body_is_a_timeout(way: Way) -> None:
    way.origin.on("/x").raw(HEAD + b"Content-Length: 10\r\n\r\n12345", Gate())
    got = await way.ask(timeouts={"idle": 0.05})
    assert isinstance(got.failure, UpstreamTimeoutError)
    assert (got.body, way.counts, way.origin.count()) == (b"12345", (0, 0), 1)


async def test_the_total_ends_a_body_of_known_length(way: Way) -> None:
    way.origin.on("/x").raw(HEAD + b"Content-Length: 10\r\n\r\n12345", Gate())
    got = await way.ask(timeouts={"total": 0.2})
    assert isinstance(got.failure, DeadlineExceededError)
    assert (got.body, way.counts) == (b"12345", (0, 0))


async def test_the_total_ends_a_body_that_keeps_coming(way: Way) -> None:
    way.origin.on("/x").raw(HEAD + b"Content-Length: 999999999\r\n\r\n", Gate())
    got = await way.open(timeouts={"total": 0.5})
    assert got.response is not None
    body = got.response.body
    assert isinstance(body, Arriving)

    async def keep_coming() -> None:
        while True:
            body._payload.feed_data(b"x")
            await asyncio.sleep(0)

    coming = asyncio.ensure_future(keep_coming())
    async with asyncio.timeout(20):
        with pytest.raises(DeadlineExceededError):
            await whole(got.response)
    coming.cancel()
    assert way.counts == (0, 0)


@pytest.mark.parametrize("framing", [b"Content-Type: text/event-stream\r\nContent-Length: 6\r\n", b""])
async def test_the_total_does_not_end_a_stream(way: Way, framing: bytes) -> None:
    gate = Gate()
    way.origin.on("/x").raw(HEAD + framing + b"\r\none", gate, b"two", then="close")
    got = await way.open(timeouts={"total": 1})
    assert got.response is not None
    assert await got.response.body.read() == b"one"
    await asyncio.sleep(1.1)
    gate.open()
    assert await whole(got.response) == b"two"


async def test_a_reader_that_pauses_is_not_an_idle_upstream(way: Way) -> None:
    gate = Gate()
    way.origin.on("/x").raw(HEAD + b"Content-Length: 6\r\n\r\none", gate, b"two")
    got = await way.open(timeouts={"idle": 0.1})
    assert got.response is not None
    assert await got.response.body.read() == b"one"
    reading = asyncio.ensure_future(got.response.body.read())
    await asyncio.sleep(0)
    gate.open()
    assert await reading == b"two"
    await asyncio.sleep(0.2)
    assert await got.response.body.read() == b""


async def test_an_answer_given_up_takes_its_connection_along(way: Way) -> None:
    way.origin.on("/x").flood(10_000_000)
    got = await way.open()
    assert got.response is not None
    await got.response.body.read()
    got.response.body.close()
    got.response.body.close()
    assert await got.response.body.read() == b""
    assert way.counts == (0, 0)


async def test_a_complete_answer_given_up_keeps_its_connection(way: Way) -> None:
    gate = Gate()
    way.origin.on("/x").raw(HEAD + b"Content-Length: 6\r\n\r\none", gate, b"two")
    got = await way.open()
    assert got.response is not None
    assert got.response.body.length == 6
    gate.open()
    await asyncio.to_thread(time.sleep, 0.1)
    got.response.body.close()
    assert way.counts == (0, 1)
