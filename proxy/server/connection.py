"""What happens on one caller's connection, from its first byte to its last?

aiohttp parses and holds back; this class says what a connection may do. It overrides the library's
request loop (`start`), because that loop makes a task and an object for each request, reads on after a
response without looking at what it reads, and knows no time limit for a head. Everything private that it
leans on is guarded by tests/server/test_connection.py and the pinned minor version.

The law: one message in, at most one out, in order. A connection is in one of three states, idle (waits
`idle_timeout`), head (`header_timeout` from the first byte) or busy; what is not finished in its time is
closed. After a request whose body was not read to its end nothing more is parsed.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from math import inf
from typing import TYPE_CHECKING, cast

from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from proxy.core.failure import BadRequestError
from proxy.server.head import MOST_BYTES, MOST_FIELDS, unparsed
from proxy.server.shortcut import CLIENT_LEFT
from proxy.upstream.acknowledgement import acknowledge

if TYPE_CHECKING:
    from aiohttp.http_websocket import WebSocketReader
    from aiohttp.web_server import Server

    from proxy.core.exchange import Exchange
    from proxy.server.connections import App, Connections, Taking
    from proxy.server.shortcut import Ride
    from proxy.server.tunnel import Tunnel

_LINGER_BYTES = 64 * 1024  # of an unread request body that is read and thrown away before closing
_LINGER_SECONDS = 2.0
_LOOK = 1.0  # seconds between two looks at a caller from whom nothing is read
_LEFT = frozenset({7, 8})  # of Linux's TCP states: CLOSE, CLOSE_WAIT
_IDLE, _HEAD, _BUSY, _LEAVING = "idle", "head", "busy", "leaving"


class Connection(RequestHandler):
    """One caller's connection."""

    __slots__ = (
        "_begun",
        "_connections",
        "_deadline",
        "_failed",
        "_head_began",
        "_head_bytes",
        "_hit",
        "_phase",
        "_reading",
        "_reaper",
        "_thrown_away",
        "_waiting_behind",
        "_watch",
        "peer",
        "ride",
        "switched",
        "tunnel",
        "whole",
    )

    def __init__(self, connections: Connections, *, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            cast("Server", connections),
            loop=loop,
            keepalive_timeout=0,  # 0 switches the library's own timer off; ours covers the head as well
            access_log=None,  # type: ignore[arg-type]  # the library tests it for truth before use
            auto_decompress=False,
            max_line_size=MOST_BYTES,
            max_field_size=MOST_BYTES,
            max_headers=MOST_FIELDS,
            lingering_time=0,
        )
        self._connections = connections
        self._phase = _IDLE
        self._deadline = 0.0
        self._hit = -inf  # when the fast path answered last, on the app's clock
        self._head_bytes = 0
        self._head_began = False
        self._watch: asyncio.TimerHandle | None = None
        self._reading: StreamReader | None = None
        self._reaper: asyncio.TimerHandle | None = None
        self._failed = False
        self._thrown_away = 0
        self.peer = ""
        self.switched = False  # to another protocol, which has nothing to do with what is parsed here
        self.tunnel: Tunnel | None = None  # while a WebSocket is open
        self.ride: Ride | None = None  # while a request is passed on without a task
        self._begun: tuple[App, Exchange] | None = None  # of a ride that goes the long way from here
        self._waiting_behind = b""  # what came while one was under way
        self.whole = b""  # the bytes of the request being answered, where they came at once and alone

    # The library's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        self.peer = peer[0] if isinstance(peer, tuple) and peer else ""
        self._enter(_IDLE, self._app.idle_timeout)
        self._reaper = self._loop.call_at(self._deadline, self._reap)

    def connection_lost(self, exc: BaseException | None) -> None:
        for timer in (self._reaper, self._watch):
            if timer is not None:
                timer.cancel()
        self._reaper = self._watch = None
        super().connection_lost(exc)
        ride, self.ride = self.ride, None
        if ride is not None:
            ride.left()
        self._forgotten()

    def data_received(self, data: bytes) -> None:
        fresh, transport = self._phase is _IDLE, self.transport
        # What begins a request may be a whole one that the fast path knows; anything else it declines.
        if fresh and not self._paused and transport is not None:
            app = self._connections.app
            at = None if app.fast is None or app.draining else app.fast.answer(data, transport)
            if at is not None:
                self._hit = at
                return
            if app.shortcuts is not None and not app.draining and app.shortcuts.take(data, self):
                return
        if self._failed:
            # After a message that did not parse, no byte of this caller means anything.
            self._thrown_away += len(data)
            if self._thrown_away > _LINGER_BYTES and self.transport is not None:
                self.transport.abort()
            return
        if self.switched:
            super().data_received(data)
            return
        if self.ride is not None:
            self._behind(data)
            return
        self._parsed(data, fresh=fresh)

    def _parsed(self, data: bytes, *, fresh: bool) -> None:
        """To the library's parser; `fresh`: on a connection that waited for a request."""
        queued = len(self._messages)
        between = self._reading is None or self._reading.is_eof()
        super().data_received(data)
        if len(self._messages) > queued:
            self._received(data)
            alone = fresh and len(self._messages) == 1 and self._messages[0][1] is EMPTY_PAYLOAD
            self.whole = data if alone and not self._head_began and not self._failed else b""
        elif between and data:
            self._began(len(data))
        last = self._messages[-1][1] if self._messages else self._reading
        if self._head_began or (last is not None and not last.is_eof()):
            acknowledge(self.transport)

    def carries(self, ride: Ride) -> None:
        """Its request is under way without a task."""
        self.ride = ride
        self._phase = _BUSY

    def _behind(self, data: bytes) -> None:
        """Bytes behind a request that is under way wait for its end, and the caller with more of them."""
        self._waiting_behind += data
        self._pause_transport_reading()

    def arrived(self, *, again: bool) -> None:
        """The request that was under way is answered; unless `again`, that was the last."""
        self.ride = None
        if not again:
            if self.transport is not None:
                self.transport.close()
            return
        self._enter(_IDLE, self._app.idle_timeout)
        if self._waiting_behind:
            self._catch_up()

    def go_on(self, data: bytes, app: App, exchange: Exchange) -> None:
        """The request that was under way goes the long way from here."""
        self._begun = app, exchange
        self._enter(_IDLE, self._app.idle_timeout)
        self._parsed(data, fresh=True)
        self._catch_up()

    def _catch_up(self) -> None:
        data, self._waiting_behind = self._waiting_behind, b""
        if data and self.transport is not None:
            self.transport.resume_reading()
            self.data_received(data)

    def _forgotten(self) -> None:
        """What went the long way but found nobody who takes it."""
        if self._begun is not None:
            app, exchange = self._begun
            if exchange.begun is not None:
                exchange.begun.drop()
            exchange.cut = True
            exchange.status = CLIENT_LEFT
            app.closed(exchange)

    def _received(self, data: bytes) -> None:
        """A head is complete, or did not parse."""
        self._phase = _BUSY
        self._head_bytes = 0
        message, payload = self._messages[-1]
        # What follows a message without a body is the next head, of which the rest is waited for.
        self._head_began = payload is EMPTY_PAYLOAD and not data.endswith(b"\r\n\r\n")
        if isinstance(message, _ErrInfo):
            self._failed = True
            # The parser gives no sign to who reads the body that turned out broken.
            if self._reading is not None and not self._reading.is_eof():
                self._reading.set_exception(BadRequestError("The request body is not valid HTTP/1.1."))

    def _began(self, size: int) -> None:
        """Bytes of an incomplete head, `size` of them new; behind a request they wait for its end."""
        self._head_began = True
        if self._phase is _IDLE:
            self._enter(_HEAD, self._app.header_timeout)
        self._head_bytes += size
        if self._head_bytes > MOST_BYTES:
            self._failed = True
            info = _ErrInfo(status=400, exc=ValueError(), message="head too large")
            self._messages.append((info, EMPTY_PAYLOAD))
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(None)

    def _pause_transport_reading(self) -> None:
        super()._pause_transport_reading()
        # Of a WebSocket everything is passed on that came before its end; its own clock ends it.
        if self._watch is None and not self.switched:
            self._watch = self._loop.call_later(_LOOK, self._look)

    def _look(self) -> None:
        """While nothing is read, a caller that leaves gives no sign: its socket is asked."""
        self._watch = None
        transport = self.transport
        if transport is None or not (self._reading_paused or self._buffer_paused or self._waiting_behind):
            return
        if _has_left(transport.get_extra_info("socket")):
            self.reset()
        else:
            self._watch = self._loop.call_later(_LOOK, self._look)

    # The life of a connection

    async def start(self) -> None:
        """Requests one after the other, until one says that it was the last."""
        while not self._force_close and self.transport is not None:
            if not self._messages:
                if not self._head_began:
                    self._enter(_IDLE, self._app.idle_timeout)
                elif self._phase is not _HEAD:
                    self._enter(_HEAD, self._app.header_timeout)
                self._waiter = self._loop.create_future()
                try:
                    await self._waiter
                finally:
                    self._waiter = None
            self._phase = _BUSY
            message, payload = self._messages.popleft()
            if self._parser is not None:
                self._parser.message_consumed()
            if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
                self._resume_reading_if_drained()
            if isinstance(message, _ErrInfo):
                await self._app.refuse(self, unparsed(message.message))
                await self._linger()
                break
            self._reading = payload
            (app, exchange), self._begun = self._begun or (self._app, None), None
            try:
                again = await app.handle(self, message, payload, exchange)
            finally:
                self._reading = None
            if not payload.is_eof() or (self._messages and not again):
                await self._linger()
                break
            if not again:
                break
        self._finish()

    def force_close(self) -> None:
        self._phase = _LEAVING  # before that the transport is open, and what comes may be answered at once
        super().force_close()

    def _finish(self) -> None:
        self._task_handler = None
        if self.transport is not None:
            self.transport.close()

    async def _linger(self) -> None:
        """Throws away a little of what the caller still sends, so that a reset does not eat our answer."""
        transport = self.transport
        if transport is None:
            return
        self._failed = True
        self._thrown_away = 0
        self._enter(_LEAVING, _LINGER_SECONDS)
        if transport.can_write_eof():
            transport.write_eof()
        if self._reading_paused or self._buffer_paused:
            self._resume_transport_reading()
        # Ends early where the caller closes too: `connection_lost` cancels this task.
        await asyncio.sleep(_LINGER_SECONDS)

    @property
    def _app(self) -> App:
        # Asked for each time: it changes with the configuration.
        return self._connections.app

    # What the app needs

    @property
    def busy(self) -> bool:
        return self._phase is _BUSY or bool(self._messages)

    def write(self, data: bytes) -> None:
        """Hands bytes to the socket. Raises ConnectionResetError where the caller has left."""
        transport = self.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("The caller has left.")
        transport.write(data)

    async def drain(self) -> None:
        """Waits while the caller reads slower than we write; at most `idle_timeout` without progress."""
        if not self._paused:
            return
        try:
            async with asyncio.timeout(self._app.idle_timeout):
                await self._drain_helper()
        except TimeoutError:
            self.reset()
            raise ConnectionResetError("The caller does not read.") from None

    def switch(self, taking: Taking) -> None:
        """Gives it all that the caller sends behind its request, the protocol having been switched.

        Raises ConnectionError where too much came before the answer, or the caller has left.
        """
        if self._failed or self.transport is None:
            raise ConnectionResetError("The caller has left, or did not wait for the answer.")
        self.switched = True
        self.set_parser(cast("WebSocketReader", taking))

    def finish(self, seconds: float) -> None:
        """Closes behind what is still to be sent, for which there are so many seconds."""
        transport = self.transport
        if transport is not None:
            transport.close()
            self._loop.call_later(seconds, transport.abort)

    def reset(self) -> None:
        """Ends the connection so that nobody can take what was sent for a whole message."""
        transport = self.transport
        if transport is None:
            return
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family != socket.AF_UNIX:
            # Without a body length a plain close would look like its end: RST instead of FIN.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._force_close = True
        transport.abort()

    # Time

    def _enter(self, phase: str, seconds: float) -> None:
        self._phase = phase
        self._deadline = self._loop.time() + seconds
        # A timer that stands too late is moved; one that stands too early finds out by itself (_reap):
        # so a request costs no timer at all.
        if self._reaper is not None and self._reaper.when() > self._deadline:
            self._reaper.cancel()
            self._reaper = self._loop.call_at(self._deadline, self._reap)

    def _reap(self) -> None:
        now = self._loop.time()
        if self._phase is _IDLE:
            unused = self._app.clock.now() - self._hit
            self._deadline = max(self._deadline, now + self._app.idle_timeout - unused)
        if self._phase is _BUSY:
            self._reaper = self._loop.call_at(now + self._app.header_timeout, self._reap)
        elif now < self._deadline:
            self._reaper = self._loop.call_at(self._deadline, self._reap)
        else:
            self._reaper = None
            self.force_close()


def _has_left(sock: socket.socket | None) -> bool:
    """Whether the other side has closed, although there may be bytes before its end (Linux says so)."""
    if sock is None or not hasattr(socket, "TCP_INFO") or sock.family == socket.AF_UNIX:
        return False
    try:
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] in _LEFT
    except OSError:
        return False
