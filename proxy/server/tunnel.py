"""How do a WebSocket's two sides speak with each other, and how does it end?

The law: what one side sends reaches the other as it was, a Close included; the side that reads slowly
holds the other back. A side that ends without a Close is cut off on the other side too, for that says what
happened. Where we end it ourselves both get a Close of ours between two frames and some time to answer:
1001 where nothing moved for the route's `timeout.idle` or the process stops; for a side that breaks the
protocol the code that says so, and for its other side 1011.
"""

from __future__ import annotations

import asyncio
from os import urandom
from typing import TYPE_CHECKING, Protocol

from aiohttp.streams import StreamReader

from proxy.core.exchange import Exchange
from proxy.core.failure import APIError, BadRequestError, UpstreamProtocolError
from proxy.core.message import Duplex, Response
from proxy.core.websocket import GOING_AWAY, OTHER_FAILED, SWITCHING, Frames, accept, goodbye

if TYPE_CHECKING:
    from proxy.server.connection import Connection

GRACE = 5.0  # seconds for both sides to answer a Close of ours, or for what is left to go out
_BUFFER = 64 * 1024  # bytes from the caller; reading pauses at twice this
_HOP = frozenset({"connection", "upgrade", "content-length", "transfer-encoding"})


class End(Protocol):
    """One side. `read` gives b"" at its end; all three raise ConnectionError or APIError where it broke."""

    async def read(self) -> bytes: ...

    def write(self, data: bytes) -> None: ...

    async def drain(self) -> None: ...


class Caller:
    """The caller's side, whose bytes its connection gives here."""

    def __init__(self, connection: Connection) -> None:
        """Raises ConnectionError."""
        self._stream = StreamReader(connection, _BUFFER, loop=asyncio.get_running_loop())
        self.write = connection.write
        self.drain = connection.drain
        connection.switch(self)

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self._stream.feed_data(data)
        return False, b""

    def feed_eof(self) -> None:
        self._stream.feed_eof()

    async def read(self) -> bytes:
        return await self._stream.readany()


class Way:
    """One direction."""

    __slots__ = ("deaf", "done", "due", "farewell", "frames", "masked", "passed", "sink", "source")

    def __init__(self, source: End, sink: End, *, upwards: bool, extended: bool) -> None:
        self.source = source
        self.sink = sink
        self.masked = upwards
        self.frames = Frames(masked=upwards, extended=extended)
        self.passed = 0  # bytes that went to the sink
        self.due = 0  # bytes that its frame under way still needs
        self.farewell: tuple[int, str] | None = None  # what the sink is to be told, or was
        self.deaf = False  # nothing more goes to the sink: it has its Close, or is gone
        self.done = False  # nothing more comes from the source that matters

    def send(self, data: bytes) -> None:
        """Passes on what may pass of these bytes."""
        passing = self.frames.passing(data)
        if self.farewell is None:
            self.due = self.frames.left
        else:
            passing = passing[: self.due]
            self.due -= len(passing)
        if passing and not self.deaf:
            self._write(passing)
            self.passed += len(passing)
        if self.frames.closed and self.farewell is None:
            self.deaf = True
        self._say()

    def tell(self, code: int, text: str) -> None:
        """A Close of ours as soon as no frame is under way, and nothing behind it."""
        if self.farewell is None:
            self.farewell = code, text
            self._say()

    def _say(self) -> None:
        if self.farewell is not None and not self.due and not self.deaf:
            code, text = self.farewell
            self._write(goodbye(code, text, urandom(4) if self.masked else b""))
            self.deaf = True

    def _write(self, data: bytes) -> None:
        try:
            self.sink.write(data)
        except ConnectionError:
            # What the sink said before it left may still be on its way to the other side.
            self.deaf = True

    async def drain(self) -> None:
        if self.deaf:
            return
        try:
            await self.sink.drain()
        except ConnectionError:
            self.deaf = True


class Tunnel:
    """One WebSocket between two sides."""

    def __init__(self, caller: End, upstream: End, *, idle: float, extended: bool) -> None:
        """`idle` in seconds; `extended`: the sides have agreed on an extension."""
        self.up = Way(caller, upstream, upwards=True, extended=extended)
        self.down = Way(upstream, caller, upwards=False, extended=extended)
        self.failure: APIError | None = None
        self._idle = idle
        self._loop = asyncio.get_running_loop()
        self._moved = self._loop.time()
        self._limit: float | None = None
        self._over = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def cut(self) -> bool:
        """Whether it ended without a word: no Close from either side, and none of ours."""
        ways = (self.up, self.down)
        return not any(way.frames.closed or way.farewell is not None for way in ways)

    async def run(self) -> None:
        """Until it is over. Raises nothing but what is a bug."""
        self._timer = self._loop.call_at(self._due(), self._fire)
        pumps = [self._loop.create_task(self._pump(way)) for way in (self.up, self.down)]
        try:
            await self._over.wait()
        finally:
            self._timer.cancel()
            for pump in pumps:
                pump.cancel()
            ended = await asyncio.gather(*pumps, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error

    def leave(self, code: int = GOING_AWAY, text: str = "going away") -> None:
        """Says goodbye to both sides, and ends when both have answered."""
        self._part(text, caller=code, upstream=code)

    def left(self) -> None:
        """The caller is gone: what it said last still goes up, and then it is over."""
        self._hurry()

    async def _pump(self, way: Way) -> None:
        try:
            while data := await way.source.read():
                self._moved = self._loop.time()
                way.send(data)
                if way.frames.broken is not None:
                    self._broken(way)
                if way.frames.closed:
                    break
                await way.drain()
                self._moved = self._loop.time()
            else:
                self._ended(way, None)
        except APIError as failure:
            self._ended(way, failure)
        except BaseException:
            self._over.set()
            raise
        way.done = True
        if self.up.done and self.down.done:
            self._over.set()

    def _broken(self, way: Way) -> None:
        """Its source breaks the protocol, and is read on only so that it hears why (§7.1.7)."""
        broken = way.frames.broken
        if broken is None or self._limit is not None:
            return
        if way is self.up:
            self.failure = BadRequestError(broken.text)
            self._part(broken.text, caller=broken.code, upstream=OTHER_FAILED)
        else:
            self.failure = UpstreamProtocolError(broken.text, sent=True)
            self._part(broken.text, caller=OTHER_FAILED, upstream=broken.code)

    def _ended(self, way: Way, failure: APIError | None) -> None:
        """Its source has ended without a Close; the other side is cut off, or has been spoken to."""
        if way.farewell is not None:
            return
        if self.cut and way is self.down:
            self.failure = failure or UpstreamProtocolError(
                "The upstream ended the WebSocket without a Close.",
                sent=True,
                proxy_status="connection_terminated",
            )
        self._over.set()

    def _part(self, text: str, *, caller: int, upstream: int) -> None:
        self.up.tell(upstream, text)
        self.down.tell(caller, text)
        self._hurry()

    def _hurry(self) -> None:
        if self._limit is None:
            self._limit = self._loop.time() + GRACE
            if self._timer is not None:
                self._timer.cancel()
                self._timer = self._loop.call_at(self._limit, self._fire)

    def _due(self) -> float:
        return self._moved + self._idle if self._limit is None else self._limit

    def _fire(self) -> None:
        if self._loop.time() < self._due():
            self._timer = self._loop.call_at(self._due(), self._fire)
        elif self._limit is None:
            self.leave(text="idle")
        else:
            self._over.set()


def granted(response: Response, key: str, date: str) -> bytes:
    """The head of the 101 for the caller's handshake, whose key this is."""
    lines = [
        b"HTTP/1.1 101 Switching Protocols",
        b"Connection: Upgrade",
        b"Upgrade: websocket",
        b"Sec-WebSocket-Accept: " + accept(key).encode(),
    ]
    kept = response.headers.without(_HOP)
    if "date" not in kept:
        kept = kept.plus(("Date", date))
    lines += [name + b": " + value for name, value in kept.fields]
    return b"\r\n".join([*lines, b"\r\n"])


async def carry(
    connection: Connection,
    response: Response,
    duplex: Duplex,
    key: str,
    exchange: Exchange,
    *,
    date: str,
    leaving: bool,
) -> None:
    """Answers the handshake and carries both ways until it is over; then both connections are to end.

    `leaving`: the process stops, so it is opened and closed.
    Raises ConnectionError where the caller has left.
    """
    tunnel: Tunnel | None = None
    try:
        caller = Caller(connection)
        connection.write(granted(response, key, date))
        exchange.status = SWITCHING
        exchange.headers_out = response.headers
        extended = "sec-websocket-extensions" in response.headers
        tunnel = connection.tunnel = Tunnel(caller, duplex, idle=duplex.idle, extended=extended)
        running = asyncio.create_task(tunnel.run(), name="websocket")
        if leaving:
            tunnel.leave()
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            # The connection's end cancels this task, and what came before it may not have passed yet.
            tunnel.left()
            await running
    finally:
        connection.tunnel = None
        response.body.close()
        if tunnel is not None:
            exchange.bytes_in, exchange.bytes_out = tunnel.up.passed, tunnel.down.passed
            exchange.cut = tunnel.cut or tunnel.failure is not None
            exchange.error = tunnel.failure
            exchange.code = None if tunnel.failure is None else tunnel.failure.code
            connection.finish(GRACE)
