"""What arrives on one upstream connection, and does it answer what was asked?

The law: one request out, one answer in. Every byte that belongs to no answer (before a request, behind
the end of a body, behind a head that has no body) ends the connection and reaches nobody. Heads are
bounded; interim answers are told to who asked, a bounded number of them. Where a switch of protocols was
asked for and is granted, all that follows the head is a stream without an end of its own.

aiohttp's protocol and C parser do the reading. They alone cannot tell where an answer ends within the
bytes that they are given, so heads are cut off first and bodies counted here.
"""

from __future__ import annotations

import asyncio
import re
import select
from collections.abc import Callable
from typing import Protocol, cast

from aiohttp.client_exceptions import ClientPayloadError, SocketTimeoutError
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import RawResponseMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

from proxy.core.expression import expression
from proxy.upstream.acknowledgement import acknowledge

Answered = tuple[RawResponseMessage, StreamReader]


class First(Protocol):
    """Who hears first what happens on a connection, byte for byte and in its order."""

    def took(self, data: bytes) -> None: ...

    def lost(self, exc: BaseException | None) -> None: ...

    def expired(self) -> None: ...


MOST_HEAD = 64 * 1024  # bytes of the final head and the interim ones before it together
MOST_FIELDS = 256
MOST_INTERIM = 16
_READ_BUFFER = 64 * 1024  # reading pauses at twice this, so a stream holds little more than 256 KiB

_FIRST_INTERIM = 100
_FIRST_FINAL = 200
_SWITCHING = 101
_BODILESS = frozenset({204, 304})
_KEPT = expression(r"timeout\s*=\s*([0-9]{1,9})", re.ASCII | re.IGNORECASE)
_HEAD_END = expression(rb"\n\r?\n")
_CHUNKED_END = b"\r\n\r\n"

# How much of the body is still to come, where that is not a number of bytes.
_CHUNKED = -1
_TO_THE_END = -2
_NO_HEAD_YET = -3
_SWITCHED = -4


def unread(payload: StreamReader) -> bytes:
    """What of a body is here already, also where its end will never come."""
    if payload is EMPTY_PAYLOAD or not payload._buffer:  # noqa: SLF001 - there is no public way to look
        return b""
    if payload.is_eof() and not payload._buffer_offset:  # noqa: SLF001 - all is here, nothing to resume
        data = b"".join(payload._buffer)  # noqa: SLF001 - as above
        payload._buffer.clear()  # noqa: SLF001 - as above
        return data
    return payload._read_nowait(-1)  # noqa: SLF001 - the public one raises before it gives


def arrived(payload: StreamReader) -> bool:
    """Whether more of a body is here, or its end."""
    return payload.is_eof() or bool(payload._buffer)  # noqa: SLF001 - there is no public way to look


class Wire(ResponseHandler):
    """One connection; `expect`, write a request, then await `head`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.answer: Answered | None = None
        self.heard = False  # a byte came since the request went out
        self.keeps: float | None = None  # seconds that the upstream says it keeps an idle connection
        self._asked = False  # an answer, or the rest of one, is due
        self._left = _NO_HEAD_YET
        self._head_bytes = 0
        self._interim = 0
        self._hears: Callable[[RawResponseMessage], None] | None = None
        self._switching = False
        self._last = b""  # the end of what came before, where a mark may be split
        self._head_waiter: asyncio.Future[None] | None = None
        self._poll: select.poll | None = None
        self._first: First | None = None

    def ask(self, data: bytes, first: First) -> None:
        """Writes a request whose answer `first` hears, until `expect` or `settle`."""
        self.answer = None
        self.heard = False
        self._asked = True
        self._first = first
        self.write(data)

    def settle(self, hint: bytes) -> None:
        """What `first` heard was a whole answer; `hint` is its Keep-Alive."""
        self._first = None
        self._asked = False
        self.note_keepalive(hint.decode("latin-1") if hint else None)

    def adopt(self, left: int) -> StreamReader:
        """What `first` heard was a head, and of its body all but `left` bytes; those are still to come."""
        self._first = None
        payload = StreamReader(self, _READ_BUFFER, loop=self._loop)
        acknowledge(self.transport)
        # Of an answer that is adopted nobody asks for the head again.
        self.answer = cast("RawResponseMessage", None), payload
        self._payload = payload
        self._left = left
        return payload

    def expect(
        self,
        *,
        bodiless: bool,
        interim: Callable[[RawResponseMessage], None] | None = None,
        switching: bool = False,
    ) -> None:
        """A request is about to be written; `bodiless` where its answer has no body (HEAD).

        `interim` is told of each answer before the final one. A 101 is a final one where `switching` was
        asked for, and breaks the connection elsewhere.
        """
        self.answer = None
        self.heard = False
        self._asked = True
        self._first = None
        self._left = _NO_HEAD_YET
        self._head_bytes = 0
        self._interim = 0
        self._hears = interim
        self._switching = switching
        self._last = b""
        self.set_response_params(
            skip_payload=bodiless,
            read_until_eof=True,
            auto_decompress=False,
            read_bufsize=_READ_BUFFER,
            max_line_size=8190,
            max_field_size=MOST_HEAD,
            max_headers=MOST_FIELDS,
        )

    async def head(self) -> Answered:
        """The final answer. Raises what aiohttp's protocol was given as its exception."""
        while self.answer is None:
            if self._exception is not None:
                raise self._exception
            self._head_waiter = self._loop.create_future()
            try:
                await self._head_waiter
            finally:
                self._head_waiter = None
        return self.answer

    def write(self, data: bytes | memoryview) -> None:
        transport = self.transport
        if transport is None:
            raise ConnectionResetError("the connection is closed")
        transport.write(data)

    async def drain(self) -> None:
        """Waits while the upstream takes nothing. Raises ConnectionError where it is gone."""
        if self.writing_paused or self.transport is None:
            await self._drain_helper()

    def give_up(self) -> None:
        """Ends the connection at once; whoever waits for its answer gets an error."""
        self.abort()
        self.set_exception(ConnectionAbortedError("given up"))

    def expire(self) -> None:
        """Whoever waits for the head gets a timeout; does nothing where the head is here already."""
        if self.answer is not None:
            return
        if self._first is not None:
            self._first.expired()
        self.set_exception(SocketTimeoutError("no answer in time"))

    def note_keepalive(self, hint: str | None) -> None:
        """What the answer's Keep-Alive field says of idle connections (`timeout=5, max=100`)."""
        found = None if hint is None else _KEPT.search(hint)
        # A second less, so that the request is there before the upstream hangs up.
        self.keeps = None if found is None else max(0.0, float(found[1]) - 1)

    def complete(self) -> bool:
        """The whole answer arrived."""
        return self.answer is not None and not self._asked

    def stirred(self) -> bool:
        """Bytes or an end wait to be read: on an idle connection neither is good."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return True
        if self._poll is None:
            sock = transport.get_extra_info("socket")
            self._poll = select.poll()
            self._poll.register(sock.fileno(), select.POLLIN)
        return bool(self._poll.poll(0))

    # What aiohttp and the loop call

    def data_received(self, data: bytes) -> None:
        if not data:  # reading goes on after a pause: the parser holds what it was given
            super().data_received(data)
            self._check_chunked_end()
            return
        if self._first is not None:
            self.heard = True
            self._first.took(data)
            return
        if not self._asked:
            self.force_close()
            if self.transport is not None:
                self.transport.close()
            return
        self.heard = True
        if self.answer is None:
            data = self._heads(data)
        if data and self.answer is not None:
            self._body(data, self.answer[1])
        if self._asked:
            acknowledge(self.transport)

    def _heads(self, data: bytes) -> bytes:
        """Feeds head by head until the final one; what is left belongs to the body."""
        while data and self.answer is None and self._exception is None:
            seam = len(self._last)
            found = _HEAD_END.search(self._last + data if seam else data)
            end = len(data) if found is None else found.end() - seam
            piece, data = data[:end], data[end:]
            self._head_bytes += len(piece)
            if self._head_bytes > MOST_HEAD:
                self._fail("the answer's head is too large")
                return b""
            self._last = (self._last + piece[-2:])[-2:] if found is None else b""
            super().data_received(piece)
        if self._left == 0:
            # The parser may believe in a body here, after a 304 that tells its length.
            self._payload = None
            self._asked = False
            if data:
                self.force_close()
            return b""
        return data if self._exception is None else b""

    def _body(self, data: bytes, payload: StreamReader) -> None:
        left = self._left
        if left > 0:
            if len(data) > left:
                self.force_close()
                data = data[:left]
            self._left = left = left - len(data)
            # Counted bytes need no parser.
            payload.feed_data(data)
            if not left:
                self._asked = False
                self._payload = None  # the parser, which saw none of it, must not call it cut short
                payload.feed_eof()
        elif left == _SWITCHED:
            payload.feed_data(data)
        elif left == _CHUNKED:
            self._last = (self._last + data[-4:])[-4:]
            super().data_received(data)
            self._check_chunked_end()
        else:
            super().data_received(data)

    def _check_chunked_end(self) -> None:
        if self._left == _CHUNKED and self.answer is not None and self.answer[1].is_eof():
            self._asked = False
            self._left = 0
            if self._last != _CHUNKED_END:  # the parser has taken bytes of something else already
                self.force_close()

    def feed_data(self, data: Answered, size: int = 0) -> None:  # noqa: ARG002 - aiohttp's signature
        """The parser found a head."""
        message = data[0]
        if self.answer is not None:
            self.force_close()
            return
        if message.code < _FIRST_FINAL:
            self._interim += 1
            if message.code < _FIRST_INTERIM:
                self._fail("a status that is none")
            elif message.code == _SWITCHING and self._switching and self.upgraded:
                self._left = _SWITCHED
                self.answer = message, StreamReader(self, _READ_BUFFER, loop=self._loop)
                self._wake()
            elif message.code == _SWITCHING:
                self._fail("the upstream switches protocols, which nobody asked for")
            elif self._interim > MOST_INTERIM:
                self._fail("too many interim answers")
            elif self._hears is not None:
                self._hears(message)
            return
        if self._skip_payload or message.code in _BODILESS:
            self._left = 0
        elif message.chunked:
            self._left = _CHUNKED
        else:
            length = message.headers.get("Content-Length")
            self._left = _TO_THE_END if length is None else int(length)
        self.answer = data
        self._wake()

    def _fail(self, text: str) -> None:
        self._asked = False
        self.set_exception(HttpProcessingError(message=text))
        if self.transport is not None:
            self.transport.close()

    def _wake(self) -> None:
        waiter = self._head_waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        if exc_cause is not None and exc_cause is not exc:
            exc.__cause__ = exc_cause
        super().set_exception(exc)
        self._wake()
        # The parser forgets the body that it was feeding; its reader must not.
        if self.answer is not None:
            self._break(self.answer[1], exc)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._first is not None:
            self._first.lost(exc)  # who calls this again when it has handed on what came before
            return
        if exc is not None and self._left == _TO_THE_END and self.answer is not None:
            # A reset is no end of a body that ends with the connection.
            self._break(self.answer[1], exc)
        if self._left == _SWITCHED and self.answer is not None:
            # Here the end of the connection is the end of the stream, unless it was torn off.
            if exc is None:
                self.answer[1].feed_eof()
            else:
                self._break(self.answer[1], exc)
        super().connection_lost(exc)

    def _break(self, payload: StreamReader, exc: BaseException) -> None:
        if not payload.is_eof() and payload.exception() is None:
            payload.set_exception(ClientPayloadError("the body is cut short"), exc)
