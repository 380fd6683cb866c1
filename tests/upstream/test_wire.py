"""Does a connection give its answer, the whole answer, and nothing but the answer?"""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.failure import (
    UpstreamProtocolError,
)
from proxy.upstream.translate import LIBRARY_ERRORS
from proxy.upstream.wire import Wire, unread
from tests.origin import Gate
from tests.upstream.conftest import EVIL, HEAD, OK, ONCE, Way, whole
from tests.upstream.test_acknowledgement import unacknowledged


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


# However the bytes are cut


class Nowhere(asyncio.Transport):
    """A transport that remembers only whether it was closed."""

    closed = False

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


BODY = b"0123456789" * 3
CODED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
STREAMS = {
    "length": HEAD + b"Content-Length: 30\r\n\r\n" + BODY,
    "chunks": CODED + b"a\r\n0123456789\r\n14\r\n" + BODY[10:] + b"\r\n0\r\n\r\n",
    "trailers": CODED + b"1e\r\n" + BODY + b"\r\n0\r\nX-T: 1\r\nX-U: 2\r\n\r\n",
    "interim": b"HTTP/1.1 100 Continue\r\n\r\n" * 2 + HEAD + b"Content-Length: 30\r\n\r\n" + BODY,
    "bare line ends": b"HTTP/1.1 200 OK\nContent-Length: 30\n\n" + BODY,
    "line ends before": b"\r\n" + HEAD + b"Content-Length: 30\r\n\r\n" + BODY,
}


@pytest.mark.parametrize("extra", [b"", b"x", EVIL, b"HTTP/1.1 200 OK\r\n", b"\r\n"])
@pytest.mark.parametrize("name", STREAMS)
@settings(deadline=None)
@given(cuts=st.lists(st.integers(1, 200), max_size=8))
async def test_however_an_answer_is_cut_it_is_the_same(name: str, extra: bytes, cuts: list[int]) -> None:
    wire = Wire(asyncio.get_running_loop())
    transport = Nowhere()
    wire.connection_made(transport)
    wire.expect(bodiless=False)
    raw = STREAMS[name] + extra
    at = 0
    for cut in [*sorted(cuts), len(raw)]:
        if cut > at:
            wire.data_received(raw[at:cut])
            at = cut
    message, payload = await wire.head()
    assert (message.code, unread(payload), payload.is_eof()) == (200, BODY, True)
    assert wire.complete()
    if extra != b"\r\n":  # an empty line between messages means nothing (RFC 9112 §2.2)
        assert bool(wire.should_close or transport.closed) is bool(extra)


@settings(deadline=None)
@given(raw=st.binary(max_size=300), cut=st.integers(0, 300))
async def test_no_bytes_break_more_than_their_connection(raw: bytes, cut: int) -> None:
    wire = Wire(asyncio.get_running_loop())
    wire.connection_made(Nowhere())
    wire.expect(bodiless=False)
    start = HEAD if cut % 2 else b""
    wire.data_received(start + raw[:cut])
    wire.data_received(raw[cut:] or b" ")
    wire.connection_lost(None)
    try:
        message, _ = await wire.head()
    except LIBRARY_ERRORS:
        return
    assert message.code >= 200


async def test_one_waits_for_a_head_and_is_cancelled() -> None:
    wire = Wire(asyncio.get_running_loop())
    wire.connection_made(Nowhere())
    wire.expect(bodiless=False)
    task = asyncio.ensure_future(wire.head())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    wire.data_received(OK)
    assert (await wire.head())[0].code == 200


@pytest.mark.parametrize(
    ("hint", "seconds"),
    [(None, None), ("timeout=5", 4.0), ("max=100, Timeout = 30", 29.0), ("timeout=0", 0.0), ("max=9", None)],
)
async def test_how_long_an_idle_connection_is_kept(hint: str | None, seconds: float | None) -> None:
    wire = Wire(asyncio.get_running_loop())
    wire.note_keepalive(hint)
    assert wire.keeps == seconds


# Without a task


class Listener:
    """A First that writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[bytes | BaseException | None] = []

    def took(self, data: bytes) -> None:
        self.heard.append(data)

    def lost(self, exc: BaseException | None) -> None:
        self.heard.append(exc)

    def expired(self) -> None: ...


class Written(Nowhere):
    """A transport that remembers what was written."""

    def __init__(self) -> None:
        super().__init__()
        self.data: list[bytes] = []

    def write(self, data: object) -> None:
        assert isinstance(data, bytes)
        self.data.append(data)


def used(before: bytes = OK) -> tuple[Wire, Written]:
    """A wire that has had an answer, and is idle."""
    wire, transport = Wire(asyncio.get_running_loop()), Written()
    wire.connection_made(transport)
    wire.expect(bodiless=False)
    wire.data_received(before)
    assert wire.complete()
    return wire, transport


async def test_who_asks_without_a_task_hears_all_first() -> None:
    wire, transport = used()
    first = Listener()
    wire.ask(b"GET", first)
    assert (transport.data, wire.heard, wire.complete()) == ([b"GET"], False, False)
    for piece in (b"H", b"TTP", b""):
        wire.data_received(piece)
    assert (first.heard, wire.heard) == ([b"H", b"TTP"], True)
    wire.settle(b"timeout=9")
    assert (wire.keeps, wire.should_close) == (8.0, False)
    wire.data_received(EVIL)  # belongs to nobody
    assert (first.heard, wire.should_close, transport.closed) == ([b"H", b"TTP"], True, True)


async def test_what_was_heard_first_can_happen_again() -> None:
    wire, _ = used()
    first = Listener()
    wire.ask(b"GET", first)
    wire.data_received(OK[:20])
    wire.connection_lost(None)
    assert first.heard == [OK[:20], None]
    wire.expect(bodiless=False)
    heard = [wire.heard]
    wire.data_received(OK[:20])
    wire.connection_lost(None)
    assert [*heard, wire.heard] == [False, True]
    with pytest.raises(LIBRARY_ERRORS):
        await wire.head()


@pytest.mark.parametrize("extra", [b"", b"x", EVIL])
async def test_the_rest_of_a_body_is_counted(extra: bytes) -> None:
    wire, transport = used()
    wire.ask(b"GET", Listener())
    wire.data_received(HEAD + b"Content-Length: 6\r\n\r\nabc")
    payload = wire.adopt(3)
    assert not wire.complete()
    wire.data_received(b"d")
    assert not payload.is_eof()
    wire.data_received(b"ef" + extra)
    assert (unread(payload), payload.is_eof(), wire.complete()) == (b"def", True, True)
    assert (wire.should_close, transport.closed) == (bool(extra), False)


BEFORE = {"counted": OK, "empty": HEAD + b"Content-Length: 0\r\n\r\n", "chunked": CHUNKED}


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("failure", [None, ConnectionResetError()])
async def test_a_body_that_was_adopted_and_breaks_off_has_no_end(
    failure: Exception | None, before: str
) -> None:
    wire, _ = used(BEFORE[before])
    wire.ask(b"GET", Listener())
    wire.data_received(HEAD + b"Content-Length: 6\r\n\r\nabc")
    payload = wire.adopt(3)
    wire.data_received(b"d")
    wire.connection_lost(failure)
    assert (unread(payload), payload.is_eof()) == (b"d", False)
    with pytest.raises(LIBRARY_ERRORS):
        await payload.readany()


async def test_a_body_that_was_adopted_can_pause_and_go_on() -> None:
    wire, transport = used()
    paused: list[bool] = []
    transport.pause_reading = lambda: paused.append(True)  # type: ignore[method-assign]
    transport.resume_reading = lambda: paused.append(False)  # type: ignore[method-assign]
    wire.ask(b"GET", Listener())
    size = 400_000
    wire.data_received(HEAD + b"Content-Length: %d\r\n\r\n" % size)
    payload = wire.adopt(size)
    wire.data_received(bytes(size - 1))
    assert paused == [True]
    assert len(unread(payload)) == size - 1
    assert paused == [True, False]
    wire.data_received(b"x")
    assert (await payload.readany(), payload.is_eof(), wire.complete()) == (b"x", True, True)
    assert not wire.should_close


async def test_nobody_writes_to_a_connection_that_is_gone() -> None:
    wire, _ = used()
    wire.connection_lost(None)
    with pytest.raises(ConnectionError):
        wire.ask(b"GET", Listener())


@pytest.mark.parametrize("begun", [HEAD + b"Content-Length: 5\r\n", HEAD + b"Content-Length: 5\r\n\r\nab"])
async def test_an_answer_of_which_more_is_due_is_acknowledged_at_once(
    way: Way, begun: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upstream may keep the rest back until then."""
    gate, rest = Gate(), (HEAD + b"Content-Length: 5\r\n\r\nabcde").removeprefix(begun)
    way.origin.on("/x").raw(begun, gate, rest)
    heard = asyncio.Event()
    received = Wire.data_received

    def watched(self: Wire, data: bytes) -> None:
        received(self, data)
        heard.set()

    monkeypatch.setattr(Wire, "data_received", watched)
    for _ in range(8):
        assert (await way.ask("GET", "/before")).status == 200
    heard.clear()
    asking = asyncio.ensure_future(way.ask())
    await asyncio.wait_for(heard.wait(), 10)
    [link] = [one for one in way.origin._links if not one.closed.is_set()]
    assert unacknowledged(link.sock) == 0
    gate.open()
    assert (await asking).body == b"abcde"
