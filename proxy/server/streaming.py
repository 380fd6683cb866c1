"""How do bodies get in and responses out?

The law: exactly one framing field is written, a body of known length has that length, and one that broke
off is never ended as if it were whole. The side that reads slowly holds the other back.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp.streams import StreamReader

from proxy.core.exchange import Exchange
from proxy.core.failure import APIError, BadRequestError, PayloadTooLargeError, UpstreamProtocolError
from proxy.core.message import Response, Whole, lower_name

if TYPE_CHECKING:
    from proxy.server.connection import Connection
    from proxy.server.head import Head

_FRAMING = frozenset({"content-length", "transfer-encoding", "connection", "keep-alive"})
_NO_CONTENT, _RESET_CONTENT = 204, 205
_BODYLESS = frozenset({_NO_CONTENT, _RESET_CONTENT, 304})


class CallerBody:
    """The body of a caller's request, pulled as the upstream takes it."""

    __slots__ = (
        "_connection",
        "_idle",
        "_keep",
        "_most",
        "_payload",
        "_waits_for_continue",
        "kept",
        "length",
        "received",
    )

    def __init__(
        self,
        payload: StreamReader,
        connection: Connection,
        *,
        length: int | None,
        most: int,
        idle: float,
        waits_for_continue: bool,
        keep: int = 0,
    ) -> None:
        """`idle` in seconds between two pieces, `most` and `keep` in bytes; `keep` of them stay in `kept`."""
        self._payload = payload
        self._connection = connection
        self._most = most
        self._idle = idle
        self._waits_for_continue = waits_for_continue
        self._keep = keep
        self.length = length
        self.received = 0
        self.kept = b""

    async def read(self) -> bytes:
        """Raises BadRequestError (broken or too slow), PayloadTooLargeError, ConnectionError."""
        payload = self._payload
        if self._waits_for_continue:
            self._waits_for_continue = False
            if not payload.is_eof() and not payload.total_bytes:
                self._connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        piece = b"" if payload.exception() else payload.read_nowait()
        if not piece and not payload.at_eof():
            try:
                async with asyncio.timeout(self._idle):
                    piece = await payload.readany()
            except TimeoutError:
                raise BadRequestError("The request body came too slowly.", status=408) from None
        self.received += len(piece)
        if len(self.kept) < self._keep:
            self.kept = (self.kept + piece)[: self._keep]
        if self.received > self._most:
            raise PayloadTooLargeError(f"The request body is over {self._most} bytes.")
        return piece

    def close(self) -> None:
        """What is left unread is the connection's to throw away."""


async def write(
    connection: Connection,
    response: Response,
    head: Head | None,
    exchange: Exchange,
    *,
    date: str,
    last: bool,
    keep: int = 0,
) -> bool:
    """Writes a whole response; whether the connection may be used further.

    `date` is the value of a Date field for a response that has none (RFC 9110 §6.6.1). A body that
    breaks off resets the connection. The record gets the first `keep` bytes.
    Raises ConnectionError where the caller has left.
    """
    body = response.body
    old = head is not None and head.old
    bodyless = without_body("" if head is None else head.method, response.status)
    chunked = not bodyless and body.length is None and not old
    close = last or (not bodyless and body.length is None and old)
    start = head_bytes(response, date, bodyless=bodyless, chunked=chunked, close=close, old=old)
    exchange.status = response.status
    exchange.headers_out = response.headers
    try:
        if bodyless or isinstance(body, Whole):
            data = b"" if bodyless else await body.read()
            connection.write(start + data)
            exchange.bytes_out = len(data)
            exchange.body_out = data[:keep]
            body.close()
            await connection.drain()
        else:
            connection.write(start)
            await _relay(connection, response, exchange, chunked=chunked, keep=keep)
    except APIError as failure:
        exchange.cut = True
        exchange.error = failure
        exchange.code = failure.code
        body.close()
        if not (failure.told and chunked):
            connection.reset()
        # Otherwise what was said goes out first, and a chunked body without its end shows that it broke.
        return False
    except BaseException:
        exchange.cut = True
        body.close()
        raise
    return not close


async def _relay(
    connection: Connection, response: Response, exchange: Exchange, *, chunked: bool, keep: int
) -> None:
    body = response.body
    sent = 0
    while piece := await body.read():
        sent += len(piece)
        exchange.bytes_out = sent
        if len(exchange.body_out) < keep:
            exchange.body_out = (exchange.body_out + piece)[:keep]
        connection.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        await connection.drain()
    if body.length is not None and sent != body.length:
        raise UpstreamProtocolError("The body does not have the length that its head promised.", sent=True)
    if chunked:
        connection.write(b"0\r\n\r\n")
    await connection.drain()


def without_body(method: str, status: int) -> bool:
    """Whether an answer ends with its head, whatever its fields say (RFC 9112 §6.3)."""
    return method == "HEAD" or status in _BODYLESS


def head_bytes(
    response: Response, date: str, *, bodyless: bool, chunked: bool, close: bool, old: bool
) -> bytes:
    """The status line and the fields; `date` is the value of a Date field for an answer that has none."""
    lines = [b"HTTP/1.1 %d %b" % (response.status, response.reason.encode("utf-8", "surrogateescape"))]
    dated = False
    declared: bytes | None = None
    for name, value in response.headers.fields:
        lowered = lower_name(name)
        if lowered in _FRAMING:
            declared = value if lowered == "content-length" else declared
            continue
        dated = dated or lowered == "date"
        lines.append(name + b": " + value)
    if not dated:
        lines.append(b"Date: " + date.encode())
    length = _declared_length(response.status, declared) if bodyless else response.body.length
    if chunked:
        lines.append(b"Transfer-Encoding: chunked")
    elif length is not None:
        lines.append(b"Content-Length: %d" % length)
    if close:
        lines.append(b"Connection: close")
    elif old:
        lines.append(b"Connection: keep-alive")
    lines.append(b"\r\n")
    return b"\r\n".join(lines)


def _declared_length(status: int, declared: bytes | None) -> int | None:
    # To HEAD and in a 304 it is the length that a GET would have; a 204 has none, and a 205 is framed like
    # any answer but empty (RFC 9110 §8.6, 15.3.6).
    if status == _RESET_CONTENT:
        return 0
    if declared is None or status == _NO_CONTENT or not declared.isdigit():
        return None
    return int(declared)
