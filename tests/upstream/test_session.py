"""Does one request bring one answer, whatever the upstream does, and leave no connection behind?"""

from __future__ import annotations

import asyncio
import time

import pytest

from proxy.core.failure import (
    BadRequestError,
    ConnectError,
    DeadlineExceededError,
    UpstreamProtocolError,
    UpstreamTimeoutError,
)
from proxy.core.message import Whole
from proxy.core.routing import Origin as Base
from proxy.upstream.session import Session
from tests.origin import End, Flood, Gate, closed_port
from tests.upstream.conftest import Pieces, Way, whole

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ONCE = {"attempts": 1}

# What goes out


async def test_the_request_goes_out_byte_for_byte_and_nothing_is_added(way: Way) -> None:
    way.origin.on("*").raw(OK)
    base = Base(scheme="http", host="127.0.0.1", port=way.origin.port, path="/v1")
    target = "/a%2Fb//c;d/%zz?q=%20+\xe9&q=2&"
    got = await way.ask("GET", target, ("x-ODD", "\xe9 ~"), ("X-Odd", ""), origins=(base,))
    assert (got.status, got.body) == (200, b"ok")
    assert way.origin.hit().raw_head == (
        f"GET /v1{target} HTTP/1.1\r\nHost: {way.origin.authority}\r\n"
        "x-ODD: \xe9 ~\r\nX-Odd: \r\nX-Stamp: 1\r\n\r\n"
    ).encode("latin-1")


@pytest.mark.parametrize(
    ("method", "body", "framing"),
    [
        ("GET", b"", None),
        ("DELETE", b"", None),
        ("POST", b"", "0"),
        ("PUT", b"", "0"),
        ("PATCH", b"", "0"),
        ("POST", b"abc", "3"),
        ("GET", b"abc", "3"),
        ("POST", b"x" * 300_000, "300000"),
    ],
)
async def test_a_body_has_exactly_one_framing(
    way: Way, method: str, body: bytes, framing: str | None
) -> None:
    way.origin.on("/x").raw(OK)
    assert (await way.ask(method, body=body)).status == 200
    hit = way.origin.hit()
    assert (hit.header("content-length"), hit.header("transfer-encoding")) == (framing, None)
    assert (hit.complete, hit.body) == (True, body)


async def test_a_body_of_unknown_length_goes_out_in_chunks(way: Way) -> None:
    way.origin.on("/x").raw(OK)
    assert (await way.ask("POST", body=Pieces(b"abc", b"d" * 200_000))).status == 200
    hit = way.origin.hit()
    assert (hit.headers("content-length"), hit.headers("transfer-encoding")) == ([], ["chunked"])
    assert (hit.complete, hit.body) == (True, b"abc" + b"d" * 200_000)


async def test_the_host_is_the_origins_unless_the_route_sets_one(way: Way) -> None:
    way.origin.on("/x").raw(OK)
    await way.ask("GET", "/x", ("host", "other.example"))
    assert way.origin.hit().headers("host") == ["other.example"]


# What comes in


async def test_the_head_comes_back_as_it_was_less_what_belongs_to_the_hop(way: Way) -> None:
    way.origin.on("/x").raw(
        b"HTTP/1.1 299 Fine \xe9\r\nConnection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\nX-eND: a \r\n"
        b"X-End:\tb\r\nSet-Cookie: \xe9\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2\r\nok\r\n0\r\nX-Trailer: 1\r\n\r\n"
    )
    got = await way.ask()
    assert (got.status, got.response and got.response.reason) == (299, "Fine \xe9")
    assert got.headers.fields == ((b"X-eND", b"a"), (b"X-End", b"b"), (b"Set-Cookie", b"\xe9"))
    assert got.body == b"ok"
    assert way.counts == (0, 1)


@pytest.mark.parametrize("status", [302, 401, 404, 418, 599])
async def test_any_status_passes_and_redirects_are_not_followed(way: Way, status: int) -> None:
    way.origin.on("/x").reply(status, b"no", [("Location", "/elsewhere")])
    got = await way.ask()
    assert (got.status, got.body, way.origin.count()) == (status, b"no", 1)


async def test_an_encoded_body_passes_encoded(way: Way) -> None:
    way.origin.on("/x").reply(200, b"\x1f\x8bnot even gzip", [("Content-Encoding", "gzip")])
    got = await way.ask()
    assert got.body == b"\x1f\x8bnot even gzip"
    assert got.headers.get("content-encoding") == "gzip"


async def test_cookies_are_not_kept(way: Way) -> None:
    way.origin.on("/x").reply(200, b"", [("Set-Cookie", "a=1")])
    await way.ask()
    await way.ask()
    assert way.origin.hits()[1].header("cookie") is None


async def test_interim_answers_are_swallowed(way: Way) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    way.origin.on("/x").raw(interim * 8 + OK)
    got = await way.ask()
    assert (got.status, got.body, way.counts) == (200, b"ok", (0, 1))


@pytest.mark.parametrize("method", ["HEAD", "GET"])
async def test_answers_without_a_body(way: Way, method: str) -> None:
    way.origin.on("/x").raw(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 700\r\n\r\n").reply(204).reply(
        200, b""
    )
    for status in (304, 204, 200):
        got = await way.ask(method)
        assert (got.status, got.body) == (status, b"")
    assert way.counts == (0, 1)
    assert len({hit.connection for hit in way.origin.hits()}) == 1


HEAD = b"HTTP/1.1 200 OK\r\n"
BROKEN = {
    "garbage": b"\x00\x01garbage\r\n\r\n",
    "http 0.9": b"<html>hello</html>",
    "http/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "http/2 settings": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00",
    "a request": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "version 2.0": b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "version 1.9": b"HTTP/1.9 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "version 0.9": b"HTTP/0.9 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "status of letters": b"HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\nok",
    "status of two digits": b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok",
    "status of four digits": b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok",
    "status 099": b"HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nok",
    "unasked 101": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\nxxx",
    "101 without upgrade": b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + OK,
    "length and chunked": HEAD
    + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "chunked and length": HEAD
    + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
    "list of lengths": HEAD + b"Content-Length: 2, 3\r\n\r\nok!",
    "signed length": HEAD + b"Content-Length: +2\r\n\r\nok",
    "negative length": HEAD + b"Content-Length: -2\r\n\r\nok",
    "hex length": HEAD + b"Content-Length: 0x2\r\n\r\nok",
    "underscored length": HEAD + b"Content-Length: 1_0\r\n\r\n0123456789",
    "endless length": HEAD + b"Content-Length: 99999999999999999999999\r\n\r\nok",
    "empty length": HEAD + b"Content-Length: \r\n\r\nok",
    "unknown coding": HEAD + b"Transfer-Encoding: gzip\r\n\r\nok",
    "two codings": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "chunked twice": HEAD + b"Transfer-Encoding: chunked, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "not quite chunked": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "chunked before 1.1": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "NUL in a value": HEAD + b"X-A: a\x00b\r\nContent-Length: 2\r\n\r\nok",
    "control in a value": HEAD + b"X-A: a\x01b\r\nContent-Length: 2\r\n\r\nok",
    "bare CR in a value": HEAD + b"X-A: a\rX-B: b\r\nContent-Length: 2\r\n\r\nok",
    "DEL in a value": HEAD + b"X-A: a\x7fb\r\nContent-Length: 2\r\n\r\nok",
    "space before the colon": HEAD + b"X-A : a\r\nContent-Length: 2\r\n\r\nok",
    "no colon": HEAD + b"X-A\r\nContent-Length: 2\r\n\r\nok",
    "space in a name": HEAD + b"X A: a\r\nContent-Length: 2\r\n\r\nok",
    "empty name": HEAD + b": a\r\nContent-Length: 2\r\n\r\nok",
    "bytes in a name": HEAD + b"X-\xe9: a\r\nContent-Length: 2\r\n\r\nok",
    "control in the reason": b"HTTP/1.1 200 O\x00K\r\nContent-Length: 2\r\n\r\nok",
    "1 MiB of fields": HEAD + b"X-A: %b\r\n" % (b"a" * 1000) * 1000 + b"\r\n",
    "one field of 1 MiB": HEAD + b"X-A: %b\r\n\r\n" % (b"a" * 1_000_000),
    "20,000 fields": HEAD + b"X: a\r\n" * 20_000 + b"\r\n",
    "257 fields": HEAD + b"X: a\r\n" * 257 + b"\r\n",
    "a reason of 1 MiB": b"HTTP/1.1 200 " + b"a" * 1_000_000 + b"\r\n\r\n",
    "endless interim answers": b"HTTP/1.1 100 Continue\r\n\r\n" * 17 + OK,
    "large interim answers": (b"HTTP/1.1 103 Hints\r\nLink: %b\r\n\r\n" % (b"a" * 8000)) * 9 + OK,
    "a head that stops": b"HTTP/1.1 200 OK\r\nX-A: a\r\n",
    "a status line that stops": b"HTTP/1.1 20",
    "nothing at all": b"",
    "only line ends": b"\r\n\r\n",
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_head_is_a_bad_upstream_response(way: Way, name: str) -> None:
    way.origin.on("/x").raw(BROKEN[name], then="close")
    got = await way.ask(retry=ONCE)
    assert isinstance(got.failure, UpstreamProtocolError), got
    assert got.failure.sent
    assert (got.response, got.told) == (None, [("protocol", "attempts-used")])
    assert way.counts == (0, 0)


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


# Nobody gets bytes that belong to no answer

EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
EXTRA = {
    "bytes behind the body": ("GET", OK + b"x", b"ok"),
    "an answer behind the body": ("GET", OK + EVIL, b"ok"),
    "half an answer behind the body": ("GET", OK + b"HTTP/1.1 2", b"ok"),
    "bytes behind the last chunk": ("GET", CHUNKED + b"x", b"ok"),
    "half an answer behind the last chunk": ("GET", CHUNKED + b"HTTP/1.1 200 OK\r\n", b"ok"),
    "an answer behind the last chunk": ("GET", CHUNKED + EVIL, b"ok"),
    "a body behind HEAD": ("HEAD", OK, b""),
    "an answer behind HEAD": ("HEAD", OK[:-2] + EVIL, b""),
    "a body behind 204": ("GET", b"HTTP/1.1 204 No Content\r\n\r\nxx", b""),
    "a counted body behind 204": ("GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nxx", b""),
    "a body behind 304": ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nxx", b""),
    "an answer behind 304": ("GET", b"HTTP/1.1 304 Not Modified\r\n\r\n" + EVIL, b""),
    "an answer behind no length": ("GET", HEAD + b"Content-Length: 0\r\n\r\n" + EVIL, b""),
}


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("name", EXTRA)
async def test_bytes_behind_an_answer_reach_nobody(way: Way, name: str, late: bool) -> None:
    method, raw, body = EXTRA[name]
    gate = Gate()
    end = len(raw) if not late else raw.index(b"\r\n\r\n") + 4
    rest: list[Gate | bytes] = [gate, raw[end:]] if late else []
    way.origin.on("/x").raw(raw[:end], *rest)
    way.origin.on("/next").reply(200, b"mine")
    got = await way.open(method)
    assert got.response is not None
    if late:
        await asyncio.to_thread(gate.reached.wait)
        gate.open()
    assert await whole(got.response) == body
    if late:
        await asyncio.to_thread(time.sleep, 0.05)  # for the late bytes to be on their way
    got = await way.ask("GET", "/next")
    assert (got.status, got.body) == (200, b"mine")
    first, second = way.origin.hits()
    assert first.connection != second.connection


async def test_an_unsolicited_answer_reaches_nobody(way: Way) -> None:
    gate = Gate()
    way.origin.on("/x").raw(OK, gate, EVIL)
    way.origin.on("/next").reply(200, b"mine")
    await way.ask()
    assert way.counts == (0, 1)
    await asyncio.to_thread(gate.reached.wait)
    gate.open()
    time.sleep(0.1)  # noqa: ASYNC251 - the loop gets no chance to see the bytes before the next request
    got = await way.ask("GET", "/next")
    assert got.body == b"mine"
    assert way.origin.hits()[0].connection != way.origin.hits()[1].connection


# Early answers, uploads, callers


class Endless:
    """A caller that never stops sending."""

    length = None
    pulled = 0

    async def read(self) -> bytes:
        self.pulled += 65536
        await asyncio.sleep(0)
        return bytes(65536)

    def close(self) -> None: ...


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


async def test_a_small_body_cut_short_sends_nothing(way: Way) -> None:
    got = await way.ask("POST", body=Pieces(b"x", BadRequestError("the caller left"), length=10))
    assert isinstance(got.failure, BadRequestError)
    assert way.origin.count() == 0


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


# Times


async def test_silence_is_a_timeout_of_the_attempt(way: Way) -> None:
    way.origin.on("/x").raw(Gate())
    got = await way.ask(retry=ONCE, timeouts={"attempt": 0.05})
    assert isinstance(got.failure, UpstreamTimeoutError)
    assert (got.failure.status, got.failure.sent, got.told) == (504, True, [("timeout", "attempts-used")])
    assert way.counts == (0, 0)


async def test_a_head_that_trickles_is_a_timeout_too(way: Way) -> None:
    way.origin.on("/x").raw(HEAD + b"X-A: a\r\n", Gate())
    got = await way.ask(retry=ONCE, timeouts={"attempt": 0.05})
    assert isinstance(got.failure, UpstreamTimeoutError)


async def test_an_upstream_that_takes_nothing_is_a_timeout(way: Way) -> None:
    way.origin.on("/x").raw(Gate(), read_body=False)
    got = await way.ask("POST", body=Endless(), timeouts={"attempt": 0.2})
    assert isinstance(got.failure, UpstreamTimeoutError)
    assert way.counts == (0, 0)


async def test_a_caller_that_stops_sending_is_not_the_upstreams_fault(way: Way) -> None:
    class Stopped(Pieces):
        async def read(self) -> bytes:
            if self.left:
                return await super().read()
            await asyncio.Event().wait()
            return b""

    way.origin.on("/x").raw(OK)
    got = await way.ask("PUT", body=Stopped(b"one"), timeouts={"idle": 0.05})
    assert isinstance(got.failure, BadRequestError)
    assert got.failure.status == 408


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


@pytest.mark.parametrize("framing", [b"Content-Type: text/event-stream\r\nContent-Length: 6\r\n", b""])
async def test_the_total_does_not_end_a_stream(way: Way, framing: bytes) -> None:
    gate = Gate()
    way.origin.on("/x").raw(HEAD + framing + b"\r\none", gate, b"two", then="close")
    got = await way.open(timeouts={"total": 0.1})
    assert got.response is not None
    assert await got.response.body.read() == b"one"
    await asyncio.sleep(0.15)
    gate.open()
    assert await whole(got.response) == b"two"


async def test_the_total_ends_the_wait_for_a_head(way: Way) -> None:
    way.origin.on("/x").raw(Gate())
    got = await way.ask(timeouts={"total": 0.1})
    assert isinstance(got.failure, DeadlineExceededError)
    assert got.told == [("timeout", "no-time-left")]


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


# Connections


async def test_nobody_listens(way: Way) -> None:
    base = Base(scheme="http", host="127.0.0.1", port=closed_port())
    got = await way.ask(origins=(base,), retry=ONCE)
    assert isinstance(got.failure, ConnectError)
    assert not got.failure.sent
    assert got.failure.detail == f"No connection to 127.0.0.1:{base.port}: connection refused."


async def test_a_connection_that_takes_too_long(way: Way) -> None:
    # A queue of one that is full: loopback's nearest thing to a host that does not answer.
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
            fillers.append(filler)
        base = Base(scheme="http", host="127.0.0.1", port=port)
        late = await way.ask(origins=(base,), retry=ONCE, timeouts={"connect": 0.05})
        over = await way.ask(origins=(base,), timeouts={"total": 0.05})
        for filler in fillers:
            filler.close()
    assert isinstance(late.failure, ConnectError)
    assert (late.failure.sent, late.told) == (False, [("connect", "attempts-used")])
    assert isinstance(over.failure, DeadlineExceededError)
    assert way.counts == (0, 0)


async def test_connections_are_used_again_the_freshest_first(way: Way) -> None:
    gate = Gate()
    way.origin.on("/slow").raw(gate, OK)
    way.origin.on("/x").raw(OK)
    slow = asyncio.ensure_future(way.ask("GET", "/slow"))
    await asyncio.to_thread(way.origin.wait_for, "/slow")
    await way.ask()
    gate.open()
    await slow
    assert way.counts == (0, 2)
    await way.ask()
    slow_hit, _, last = way.origin.hits()
    assert last.connection == slow_hit.connection
    assert way.origin.accepted() >= 2


async def test_an_idle_connection_is_not_kept_longer_than_the_upstream_keeps_it(way: Way) -> None:
    way.origin.on("/x").raw(OK.replace(b"\r\n\r\n", b"\r\nKeep-Alive: timeout=1\r\n\r\n"))
    await way.ask()
    await way.ask()
    first, second = way.origin.hits()
    assert first.connection != second.connection


@pytest.mark.parametrize("version", [b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 200 OK\r\nConnection: close\r\n"])
async def test_a_connection_that_is_to_be_closed_is_closed(way: Way, version: bytes) -> None:
    way.origin.on("/x").raw(version + b"Content-Length: 2\r\n\r\nok", then="hold")
    assert (await way.ask()).body == b"ok"
    assert way.counts == (0, 0)


async def test_a_get_on_a_dead_idle_connection_goes_out_once_more_for_free(way: Way) -> None:
    way.origin.on("/x").raw(OK).raw(b"", then="close").raw(OK)
    await way.ask()
    got = await way.ask()
    assert (got.body, len(got.exchange.attempts), way.origin.count()) == (b"ok", 1, 3)


async def test_on_a_new_connection_hits_are_attempts(way: Way) -> None:
    way.origin.on("/x").raw(b"", then="close")
    got = await way.ask()
    assert isinstance(got.failure, UpstreamProtocolError)
    assert (len(got.exchange.attempts), way.origin.count()) == (3, 3)


async def test_it_is_free_once_only(way: Way) -> None:
    way.origin.on("/first").raw(OK)
    way.origin.on("/x").raw(b"", then="close")
    await way.ask("GET", "/first")
    got = await way.ask(retry=ONCE)
    assert isinstance(got.failure, UpstreamProtocolError)
    assert way.origin.count("/x") == 2


async def test_a_post_is_not_repeated_after_a_byte_was_written(way: Way) -> None:
    way.origin.on("/x").raw(OK).raw(b"", then="close")
    await way.ask("POST", body=b"pay")
    got = await way.ask("POST", body=b"pay")
    assert isinstance(got.failure, UpstreamProtocolError)
    assert got.failure.sent
    assert (got.told, way.origin.count()) == ([("protocol", "may-have-happened")], 2)


async def test_a_post_finds_a_closed_idle_connection_before_it_writes(way: Way) -> None:
    way.origin.on("/x").raw(OK, then="close").raw(OK)
    for _ in range(3):
        got = await way.ask("POST", body=b"pay")
        time.sleep(0.05)  # noqa: ASYNC251 - the end arrives, but the loop has no chance to see it
        assert (got.body, len(got.exchange.attempts)) == (b"ok", 1)
    assert way.origin.count() == 3


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


# Cancelled anywhere


@pytest.mark.parametrize("steps", range(14))
@pytest.mark.parametrize("kind", ["get", "upload", "body"])
async def test_nothing_leaks_wherever_a_task_is_cancelled(way: Way, kind: str, steps: int) -> None:
    way.origin.on("/x").raw(OK).raw(HEAD + b"Content-Length: 200000\r\n\r\n", Flood(200_000))
    before = asyncio.all_tasks()
    body = Pieces(*[b"x" * 70_000] * 4) if kind == "upload" else Whole()
    target = "/x" if kind != "body" else "/big"
    way.origin.on("/big").flood(2_000_000)
    task = asyncio.ensure_future(way.ask("PUT" if kind == "upload" else "GET", target, body=body))
    for _ in range(steps):
        await asyncio.sleep(0.0005 if steps % 2 else 0)
    task.cancel()
    await asyncio.wait({task})
    for _ in range(5):
        await asyncio.sleep(0)
    assert way.counts[0] == 0
    assert asyncio.all_tasks() - before <= {task}
    way.origin.on("/next").reply(200, b"mine")
    assert (await way.ask("GET", "/next")).body == b"mine"


async def test_a_closed_session_sends_nothing(way: Way) -> None:
    session = Session()
    await session.close()
    way.attempts.session = session
    got = await way.ask(retry=ONCE)
    assert isinstance(got.failure, ConnectError)
