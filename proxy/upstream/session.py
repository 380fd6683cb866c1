"""How is one request sent and its answer had, once?

The law: one request on one connection, its answer or one failure, and the connection back exactly once,
whatever happens and wherever the task is cancelled. No cookie, no redirect, no environment, no decoding,
no field that nobody asked for.
"""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import replace
from os import urandom

from aiohttp.abc import AbstractResolver
from aiohttp.connector import Connection
from aiohttp.http_parser import RawResponseMessage
from aiohttp.streams import StreamReader

from proxy.core.failure import (
    APIError,
    BadRequestError,
    ConnectError,
    DeadlineExceededError,
    UpstreamTimeoutError,
)
from proxy.core.message import Headers, Request, Response, Whole
from proxy.core.routing import Origin, Timeouts
from proxy.core.value import dataclass
from proxy.core.websocket import SWITCHING
from proxy.upstream import head
from proxy.upstream.arriving import Arriving
from proxy.upstream.authorities import Authorities
from proxy.upstream.connector import Connector, Dial
from proxy.upstream.express import Express
from proxy.upstream.library import check_library
from proxy.upstream.patience import Patience, Spent
from proxy.upstream.replay import ONE_WRITE, Replay
from proxy.upstream.translate import LIBRARY_ERRORS, translate
from proxy.upstream.tunnel import Tunnel
from proxy.upstream.upload import Upload
from proxy.upstream.wire import Wire, unread

KEEPALIVE = 15.0
_FIRST_REDIRECT = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One sending. `body` is the request's, prepared; `remaining` are the seconds left of the total.

    `grace`: seconds beyond that for the answer's body. `resend`: where an idle connection turns out dead
    before a byte of answer, the request may go out once more on a new one.
    """

    request: Request
    body: Whole | Replay
    origin: Origin
    timeouts: Timeouts
    remaining: float
    grace: float = 0.0
    tls: str = ""  # the route whose client certificate or CA is used
    resend: bool = False
    key: str = ""  # of a WebSocket handshake; the session makes it
    begun: Express | None = None  # has gone out already; if it is the same, it is this one


class CallerFault(Exception):
    """The caller's body broke off; `failure` says how. Nothing is to be sent again."""

    def __init__(self, failure: BaseException) -> None:
        super().__init__(str(failure))
        self.failure = failure


class _DeadConnection(Exception):
    """A reused connection ended before a byte of answer."""


class Session:
    """Connections to all upstreams, for one event loop.

    `contexts` maps a route's name to its TLS context, where it has a client certificate or CA of its own;
    all others verify against the system's authorities. Raises LibraryError on an unfit aiohttp.
    """

    def __init__(
        self,
        *,
        contexts: Mapping[str, ssl.SSLContext] | None = None,
        keepalive: float = KEEPALIVE,
        resolver: AbstractResolver | None = None,
    ) -> None:
        check_library()
        self._contexts = dict(contexts or {})
        self._keepalive = keepalive
        self._resolver = resolver
        self._connector: Connector | None = None
        self._dials: dict[tuple[Origin, str], Dial] = {}
        self._authorities = Authorities()
        self._closed = False

    def counts(self) -> tuple[int, int]:
        """(in use, idle) connections."""
        return (0, 0) if self._connector is None else self._connector.counts()

    async def close(self) -> None:
        """Ends every connection, those in use as well."""
        self._closed = True
        if self._connector is not None:
            await self._connector.close()

    async def send(self, call: Call) -> Response:
        """The answer's head, its body still to be pulled.

        Raises ConnectError, UpstreamTimeoutError, UpstreamProtocolError, DeadlineExceededError,
        BadRequestError for what cannot be written, and CallerFault.
        """
        connector = self._pool()
        origin = call.origin
        known = (origin, call.tls)
        dial = self._dials.get(known)
        if dial is None:
            context = self._contexts.get(call.tls)
            if context is None and origin.scheme == "https":
                context = await self._authorities.context()
            dial = self._dials[known] = Dial(origin, context)
        key = ""
        if call.request.switches:
            key = b64encode(urandom(16)).decode()
            keyed = call.request.headers.plus(("Sec-WebSocket-Key", key))
            call = replace(call, request=replace(call.request, headers=keyed), key=key)
        start = head.written(call.request, call.body.length, path=origin.path, authority=origin.authority)
        total = asyncio.get_running_loop().time() + call.remaining
        begun, dead = call.begun, False
        if begun is not None:
            anew = replace(call, begun=None)
            if begun.sent == start:
                try:
                    return await _Talk(begun.connection, dial, call, total, reused=True).answer(b"")
                except _DeadConnection:
                    call.body.rewind()
                    dead = True  # as below: the next try is the last, on a connection that is new
            else:
                begun.abandon()
            call = anew
        # A connection that will not come back is not taken from those that do; and none proves dead.
        connection = None if key or dead else connector.reuse(dial)
        if connection is not None:
            try:
                return await _Talk(connection, dial, call, total, reused=True).answer(start)
            except _DeadConnection:
                call.body.rewind()
        connection = await _opened(connector, dial, call, total)
        return await _Talk(connection, dial, call, total, reused=False).answer(start)

    def pooled(self, origin: Origin, tls: str) -> tuple[Connector, Dial] | None:
        """Where the connections are that calls to this origin leave; None before the first."""
        dial = self._dials.get((origin, tls))
        return None if dial is None or self._connector is None else (self._connector, dial)

    def _pool(self) -> Connector:
        if self._closed:
            raise ConnectError("The proxy is stopping.")
        if self._connector is None:
            self._connector = Connector(keepalive=self._keepalive, resolver=self._resolver)
        return self._connector


async def _opened(connector: Connector, dial: Dial, call: Call, total: float) -> Connection:
    now = asyncio.get_running_loop().time()
    limit = min(call.timeouts.connect, call.timeouts.attempt, total - now)
    try:
        async with asyncio.timeout(limit) as patience:
            return await connector.open(dial)
    except LIBRARY_ERRORS as error:
        if not patience.expired():
            raise translate(error, place=dial.place, sent=False) from None
        if now + limit >= total:
            raise DeadlineExceededError(f"No connection to {dial.place} in the time left.") from None
        raise ConnectError(
            f"No connection to {dial.place} within {limit:g} s.", proxy_status="connection_timeout"
        ) from None


class _Talk:
    """One request and its answer on one connection, which it owns until the body takes it over."""

    __slots__ = ("_call", "_connection", "_dial", "_reused", "_total", "_upload", "_wire")

    def __init__(self, connection: Connection, dial: Dial, call: Call, total: float, *, reused: bool) -> None:
        wire = connection.protocol
        if not isinstance(wire, Wire):
            raise TypeError(f"{type(wire).__name__} is not our protocol")
        self._connection = connection
        self._wire = wire
        self._dial = dial
        self._call = call
        self._total = total
        self._reused = reused
        self._upload: Upload | None = None

    async def answer(self, start: bytes) -> Response:
        patience: Patience | None = None
        try:
            patience = self._written(start)
            message, payload = await self._wire.head()
            if message.code == SWITCHING:
                return self._switched(message, payload)
            headers, reason = head.received(message)
            await self._end_early_upload(message.code)
            return Response(
                status=message.code,
                reason=reason,
                headers=headers,
                body=self._body(message, headers, payload),
            )
        except APIError:
            await self._abandoned()
            raise
        except LIBRARY_ERRORS as error:
            await self._abandoned()
            raise self._failure(error, patience) from None
        except BaseException:
            self._abort()
            raise
        finally:
            if patience is not None:
                patience.end()

    def _written(self, start: bytes) -> Patience:
        body, timeouts, wire = self._call.body, self._call.timeouts, self._wire
        request = self._call.request
        wire.expect(
            bodiless=request.method == "HEAD",
            interim=None if request.interim is None else self._hear,
            switching=bool(self._call.key),
        )
        if self._call.begun is not None:
            return self._call.begun.resume()
        if isinstance(body, Whole) and body.length <= ONE_WRITE:
            wire.write(start + body.data if body.data else start)
            return Patience(wire, attempt=timeouts.attempt, total=self._total)
        wire.write(start)
        patience = Patience(wire, attempt=timeouts.attempt, total=self._total)
        self._upload = Upload(wire, body, patience, timeouts)
        return patience

    def _hear(self, message: RawResponseMessage) -> None:
        told, tell = head.interim(message), self._call.request.interim
        if told is not None and tell is not None:
            tell(told)

    async def _end_early_upload(self, status: int) -> None:
        upload = self._upload
        if upload is None or upload.done:
            return
        # Only a success may be an answer to a request that is still being told.
        if status >= _FIRST_REDIRECT or self._wire.complete():
            self._wire.force_close()
            await upload.stop()

    def _switched(self, message: RawResponseMessage, stream: StreamReader) -> Response:
        headers, reason = head.switched(self._call.request, self._call.key, message)
        idle, place = self._call.timeouts.idle, self._dial.place
        tunnel = Tunnel(self._connection, self._wire, stream, idle=idle, place=place)
        return Response(status=SWITCHING, reason=reason, headers=headers, body=tunnel, duplex=tunnel)

    def _body(self, message: RawResponseMessage, headers: Headers, payload: StreamReader) -> Whole | Arriving:
        wire, connection = self._wire, self._connection
        unfinished = self._upload if self._upload is not None and not self._upload.done else None
        wire.note_keepalive(message.headers.get("Keep-Alive"))
        if wire.complete():
            whole = Whole(unread(payload))
            if unfinished is None:
                connection.release()
            else:
                self._abort()
            return whole
        length = headers.get("content-length")
        streams = length is None or (headers.get("content-type") or "").lower().startswith(
            "text/event-stream"
        )
        return Arriving(
            connection,
            wire,
            payload,
            length=None if length is None else int(length),
            idle=self._call.timeouts.idle,
            total=None if streams else self._total + self._call.grace,
            upload=unfinished,
            place=self._dial.place,
        )

    def _abort(self) -> None:
        if self._upload is not None:
            self._upload.cancel()
        self._wire.abort()
        self._connection.close()

    async def _abandoned(self) -> None:
        # The upload has let go of the body before anybody sends it again.
        self._abort()
        if self._upload is not None:
            await self._upload.stop()

    def _failure(self, error: BaseException, patience: Patience | None) -> BaseException:
        place, timeouts = self._dial.place, self._call.timeouts
        if self._upload is not None and self._upload.fault is not None:
            return CallerFault(self._upload.fault)
        match patience.spent if patience is not None else None:
            case Spent.TOTAL:
                return DeadlineExceededError(f"{place} did not answer in the time left.", sent=True)
            case Spent.ATTEMPT:
                return UpstreamTimeoutError(
                    f"{place} did not answer within {timeouts.attempt:g} s.", sent=True
                )
            case Spent.CALLER:
                return CallerFault(BadRequestError("The request body stopped coming.", status=408, sent=True))
            case None:
                pass
        unsent = patience is None
        if self._reused and not self._wire.heard and (unsent or self._call.resend):
            body = self._call.body
            if isinstance(body, Whole) or body.replayable:
                return _DeadConnection()
        return translate(error, place=place, sent=not unsent)
