"""How a WebSocket is carried and how it ends, between ends that do as the test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from proxy.core.exchange import Exchange
from proxy.core.failure import APIError, BadRequestError, UpstreamProtocolError
from proxy.core.message import Headers, Request, Response, Whole
from proxy.server import tunnel
from proxy.server.tunnel import Tunnel, granted
from tests.server.serving import Served, serving
from tests.websocket import (
    ACCEPT,
    ASKED,
    BINARY,
    CLOSE,
    CONTINUATION,
    KEY,
    PING,
    TEXT,
    Frame,
    Peer,
    close,
)
from tests.wire import Wire, request

MASK = b"\x09\x08\x07\x06"
LONG = 60.0  # seconds that no test waits for


def up(opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
    """A caller's frame."""
    return Frame(opcode, payload, fin=fin, mask=MASK).raw()


def down(opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
    return Frame(opcode, payload, fin=fin).raw()


class Side:
    """One end, of which the test says what comes from it and whether it takes anything."""

    length = None

    def __init__(self) -> None:
        self.coming: asyncio.Queue[bytes | APIError] = asyncio.Queue()
        self.taken = bytearray()
        self.open = asyncio.Event()
        self.open.set()
        self.gone = False
        self.closed = False
        self.idle = LONG

    def say(self, *data: bytes | APIError) -> None:
        for one in data:
            self.coming.put_nowait(one)

    async def read(self) -> bytes:
        data = await self.coming.get()
        if isinstance(data, APIError):
            raise data
        return data

    def write(self, data: bytes) -> None:
        if self.gone:
            raise ConnectionResetError
        self.taken += data

    async def drain(self) -> None:
        await self.open.wait()

    def close(self) -> None:
        self.closed = True


class Pair:
    """A tunnel that runs."""

    def __init__(self, *, idle: float = LONG, extended: bool = False) -> None:
        self.caller, self.upstream = Side(), Side()
        self.tunnel = Tunnel(self.caller, self.upstream, idle=idle, extended=extended)
        self.running = asyncio.create_task(self.tunnel.run())

    async def over(self) -> None:
        await asyncio.wait_for(self.running, 10)

    async def until(self, side: Side, data: bytes) -> None:
        """Until this is all that the side has got."""
        async with asyncio.timeout(10):
            while bytes(side.taken) != data:
                assert not self.running.done(), bytes(side.taken)
                await asyncio.sleep(0)

    async def beyond(self, side: Side, data: bytes) -> None:
        """Until the side has got more than this."""
        async with asyncio.timeout(10):
            while len(side.taken) <= len(data):  # noqa: ASYNC110 - it is told by the code under test
                await asyncio.sleep(0)
        assert side.taken.startswith(data)


@asynccontextmanager
async def pair(*, idle: float = LONG, extended: bool = False) -> AsyncIterator[Pair]:
    pair = Pair(idle=idle, extended=extended)
    yield pair
    await pair.over()


def ours(taken: bytes | bytearray) -> Frame:
    """The last frame, which is one of ours with a short text."""
    masked = bool(taken[1] & 0x80)
    assert taken[0] == 0x80 | CLOSE
    payload = bytes(taken[6:] if masked else taken[2:])
    mask = bytes(taken[2:6])
    plain = bytes(b ^ mask[at % 4] for at, b in enumerate(payload)) if masked else payload
    return Frame(CLOSE, plain)


async def test_both_ways_to_the_close_of_both() -> None:
    sent = [up(TEXT, b"a", fin=False), up(PING, b"p"), up(CONTINUATION, b"b"), up(CLOSE, close(4000, b"x"))]
    answered = [down(BINARY, bytes(200)), down(CLOSE, close(4000, b"x"))]
    async with pair() as both:
        both.caller.say(*sent)
        await both.until(both.upstream, b"".join(sent))
        both.upstream.say(*answered)
    assert bytes(both.caller.taken) == b"".join(answered)
    assert (both.tunnel.cut, both.tunnel.failure) == (False, None)
    assert both.tunnel.up.passed == len(both.upstream.taken)
    assert both.tunnel.down.passed == len(both.caller.taken)


async def test_a_side_that_takes_nothing_holds_the_other_back() -> None:
    async with pair() as both:
        both.upstream.open.clear()
        both.caller.say(up(BINARY, b"1"), up(BINARY, b"2"))
        await both.until(both.upstream, up(BINARY, b"1"))
        for _ in range(20):
            await asyncio.sleep(0)
        assert both.caller.coming.qsize() == 1
        both.upstream.open.set()
        await both.until(both.upstream, up(BINARY, b"1") + up(BINARY, b"2"))
        both.caller.say(b"")


@pytest.mark.parametrize("ending", [b"", UpstreamProtocolError("torn off", sent=True)])
async def test_an_upstream_that_ends_without_a_word_cuts_the_caller_off(ending: bytes | APIError) -> None:
    async with pair() as both:
        both.upstream.say(down(TEXT, b"last"), ending)
    assert bytes(both.caller.taken) == down(TEXT, b"last")
    assert both.upstream.taken == b""
    assert both.tunnel.cut
    assert isinstance(both.tunnel.failure, UpstreamProtocolError)


async def test_a_caller_that_ends_without_a_word_is_no_failure_of_the_upstream() -> None:
    async with pair() as both:
        both.caller.say(up(TEXT, b"last"), b"")
    assert bytes(both.upstream.taken) == up(TEXT, b"last")
    assert (both.tunnel.cut, both.tunnel.failure) == (True, None)


async def test_what_an_upstream_said_before_it_left_still_reaches_the_caller() -> None:
    async with pair() as both:
        both.upstream.gone = True
        both.caller.say(up(TEXT, b"too late"))
        both.upstream.say(down(TEXT, b"farewell"), down(CLOSE, close(1000)), b"")
        await both.until(both.caller, down(TEXT, b"farewell") + down(CLOSE, close(1000)))
        both.caller.say(up(CLOSE, close(1000)))
    assert both.tunnel.failure is None


async def test_what_a_caller_said_before_it_left_still_goes_up() -> None:
    async with pair() as both:
        both.caller.gone = True
        both.tunnel.left()
        both.caller.say(up(TEXT, b"bye"), up(CLOSE))
        both.upstream.say(down(CLOSE))
    assert bytes(both.upstream.taken) == up(TEXT, b"bye") + up(CLOSE)
    assert (both.tunnel.cut, both.tunnel.failure) == (False, None)


async def test_leaving_tells_both_and_waits_for_their_answers() -> None:
    async with pair() as both:
        both.tunnel.leave()
        assert (ours(both.caller.taken).code, ours(both.upstream.taken).code) == (1001, 1001)
        assert both.upstream.taken[1] & 0x80, "a client's Close is masked"
        both.caller.say(up(TEXT, b"too late"), up(CLOSE, close(1001)))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not both.running.done()
        both.upstream.say(down(TEXT, b"too late"), down(CLOSE, close(1001)))
    assert len(both.caller.taken) + len(both.upstream.taken) == 2 * len("going away") + 4 + 8
    assert not both.tunnel.cut


async def test_a_frame_under_way_is_finished_before_we_say_goodbye() -> None:
    frame = down(BINARY, b"x" * 1000)
    async with pair() as both:
        both.upstream.say(frame[:500])
        await both.until(both.caller, frame[:500])
        both.tunnel.leave()
        assert bytes(both.caller.taken) == frame[:500]
        both.upstream.say(frame[500:] + down(TEXT, b"the next one stays behind"))
        await both.until(both.caller, frame + down(CLOSE, close(1001, b"going away")))
        both.upstream.say(b"")
        both.caller.say(b"")


async def test_a_side_that_never_answers_is_not_waited_for_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnel, "GRACE", 0.05)
    async with pair() as both:
        both.tunnel.leave()


async def test_silence_in_both_directions_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnel, "GRACE", 0.05)
    async with pair(idle=0.05) as both:
        pass
    assert ours(both.caller.taken) == Frame(CLOSE, close(1001, b"idle"))
    assert ours(both.upstream.taken) == Frame(CLOSE, close(1001, b"idle"))
    assert not both.tunnel.cut


async def test_one_who_was_told_goodbye_by_the_other_side_is_not_told_twice() -> None:
    async with pair() as both:
        both.caller.say(up(CLOSE, close(1000)))
        await both.until(both.upstream, up(CLOSE, close(1000)))
        both.tunnel.leave()
        assert bytes(both.upstream.taken) == up(CLOSE, close(1000))
        assert ours(both.caller.taken).code == 1001
        both.upstream.say(down(CLOSE, close(1000)))


@pytest.mark.parametrize(
    ("broken", "code"),
    [(down(TEXT, b"not masked"), 1002), (up(0x3), 1002), (up(CLOSE, close(1000, b"\xff")), 1007)],
)
async def test_a_caller_that_breaks_the_protocol_hears_so(broken: bytes, code: int) -> None:
    async with pair() as both:
        both.caller.say(up(TEXT, b"good") + broken + up(TEXT, b"behind"), up(TEXT, b"more"), b"")
        await both.beyond(both.upstream, up(TEXT, b"good"))
        both.upstream.say(down(CLOSE, close(1011)))
    assert ours(both.caller.taken).code == code
    assert ours(both.upstream.taken[len(up(TEXT, b"good")) :]).code == 1011
    assert isinstance(both.tunnel.failure, BadRequestError)


async def test_an_upstream_that_breaks_the_protocol_hears_so() -> None:
    async with pair() as both:
        both.upstream.say(up(TEXT, b"masked"), b"")
        await both.beyond(both.caller, b"")
        both.caller.say(up(CLOSE, close(1011)))
    assert ours(both.caller.taken).code == 1011
    assert ours(both.upstream.taken).code == 1002
    assert isinstance(both.tunnel.failure, UpstreamProtocolError)


async def test_a_bug_ends_it() -> None:
    both = Pair()
    both.caller.write = None  # type: ignore[method-assign,assignment]  # so that writing fails in no known way
    both.upstream.say(down(TEXT, b"x"))
    with pytest.raises(TypeError):
        await both.over()


async def test_a_bug_is_told_and_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    answering = Answering()
    bug = ZeroDivisionError("ours")

    def failing(_way: object, _data: bytes) -> None:
        raise bug

    async with serving(answering) as served:
        peer = await asyncio.to_thread(opened, served)
        monkeypatch.setattr(tunnel.Way, "send", failing)
        peer.send(TEXT, b"x")
        record = await served.record.first()
        assert await asyncio.to_thread(peer.end) == "closed"
        peer.sock.close()
    assert (served.bugs, record.cut, answering.upstream.closed) == ([bug], True, True)


def test_the_head_names_nothing_of_the_other_hop() -> None:
    fields = [("Connection", "x"), ("Upgrade", "y"), ("Content-Length", "3"), ("X-Kept", "1")]
    head = granted(Response(status=101, headers=Headers.of(*fields), body=Whole()), KEY, "now")
    assert head == (
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Accept: " + ACCEPT.encode() + b"\r\nX-Kept: 1\r\nDate: now\r\n\r\n"
    )


class Answering:
    """A pipeline that grants every handshake, to one upstream of the test's."""

    def __init__(self) -> None:
        self.upstream = Side()

    async def __call__(self, asked: Request, exchange: Exchange) -> Response:
        assert asked.switch
        headers = Headers.of(("Sec-WebSocket-Protocol", "chat"))
        return Response(status=101, headers=headers, body=self.upstream, duplex=self.upstream)


def opened(served: Served, *behind: bytes) -> Peer:
    wire = Wire(served.address).send(request("GET", "/ws", ASKED) + b"".join(behind))
    head = wire.read_head()
    assert (head.status, head.header("Sec-WebSocket-Accept")) == (101, ACCEPT)
    return Peer(wire.sock, client=True, begun=bytes(wire.buffer))


async def test_a_handshake_becomes_a_websocket_and_one_record() -> None:
    answering = Answering()
    async with serving(answering) as served:
        # What comes together with the handshake is the other protocol's already.
        peer = await asyncio.to_thread(opened, served, up(TEXT, b"early"))
        assert served.connections.busy() == 1
        answering.upstream.say(down(TEXT, b"hello"), down(CLOSE, close(1000)))
        assert await asyncio.to_thread(peer.got) == (TEXT, b"hello")
        assert await asyncio.to_thread(peer.read) == Frame(CLOSE, close(1000))
        last = await asyncio.to_thread(peer.send, CLOSE, close(1000))
        assert await asyncio.to_thread(peer.end) == "closed"
        record = await served.record.first()
        peer.sock.close()
    assert bytes(answering.upstream.taken) == up(TEXT, b"early") + last
    assert answering.upstream.closed
    assert (record.status, record.cut, record.error) == (101, False, None)
    assert (record.bytes_in, record.bytes_out) == (len(answering.upstream.taken), 7 + 4)
    assert served.bugs == []


async def test_a_caller_that_leaves_without_a_word_leaves_nothing_behind() -> None:
    answering = Answering()
    async with serving(answering) as served:
        peer = await asyncio.to_thread(opened, served)
        peer.sock.close()
        record = await served.record.first()
        assert record.cut
        assert answering.upstream.closed
        assert served.connections.busy() == 0


async def test_a_process_that_stops_says_goodbye_on_what_is_open_and_what_still_opens() -> None:
    answering = Answering()
    async with serving(answering) as served:
        peer = await asyncio.to_thread(opened, served)
        served.app.draining = True
        served.connections.leave()
        assert (await asyncio.to_thread(peer.read)).code == 1001
        late = await asyncio.to_thread(opened, served)
        assert (await asyncio.to_thread(late.read)).code == 1001
        peer.sock.close()
        late.sock.close()


async def test_a_caller_that_does_not_wait_for_the_answer_with_too_much_is_cut_off() -> None:
    answering = Answering()
    begun, gate = asyncio.Event(), asyncio.Event()

    async def slowly(asked: Request, exchange: Exchange) -> Response:
        begun.set()
        await gate.wait()
        return await answering(asked, exchange)

    async with serving(slowly) as served:
        wire = Wire(served.address)
        wire.send(request("GET", "/ws", ASKED))
        await begun.wait()
        await asyncio.to_thread(wire.send, b"\x82" * 40_000)
        while not any(one._failed for one in served.connections.open):  # noqa: ASYNC110 - the reader's doing
            await asyncio.sleep(0.01)
        gate.set()
        record = await served.record.first()
        assert await asyncio.to_thread(wire.end) == "reset"
        wire.sock.close()
    assert (record.cut, record.status) == (True, 499)
    assert answering.upstream.closed
    assert answering.upstream.taken == b""
