"""How is one parsed request answered, whatever happens?

The law: every request gets one answer or a broken connection, never silence; every failure leaves as a
problem document; and one Exchange is closed for each, however it ended.
"""

from __future__ import annotations

import asyncio
import hmac
import random
from collections.abc import Sequence
from email.utils import formatdate
from typing import TYPE_CHECKING

from aiohttp.http import RawRequestMessage
from aiohttp.streams import StreamReader

from proxy.core.exchange import Exchange
from proxy.core.failure import APIError, BadRequestError, CallerError, InternalError
from proxy.core.forwarding import callers_id
from proxy.core.message import Duplex, Request, Response, Whole
from proxy.core.ports import Clock, Observer, Secret
from proxy.core.tracing import begin
from proxy.core.websocket import VERSION, VersionNeeded
from proxy.gateway.pipeline import Pipeline, failed
from proxy.server.ahead import Ahead
from proxy.server.fastpath import FastPath
from proxy.server.head import Head, read
from proxy.server.identifiers import request_id, traceparent
from proxy.server.shortcut import CLIENT_LEFT, Shortcuts
from proxy.server.streaming import CallerBody, write

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.server.connection import Connection
    from proxy.upstream.templates import Expresses


class ProxyApp:
    """Answers requests from a pipeline."""

    def __init__(
        self,
        *,
        pipeline: Pipeline,
        observers: Sequence[Observer],
        clock: Clock,
        bug: Callable[[str, BaseException], None],
        client_token: Secret | None = None,
        max_request_body: int,
        header_timeout: float,
        idle_timeout: float,
        scheme: str = "http",
        keep: int = 0,
        sample: float = 0.0,
        fast_path: bool = True,
        expresses: Expresses | None = None,
    ) -> None:
        """Times in seconds, sizes in bytes; `keep` of each body are kept for the log.

        `sample` is the share of requests that are traced, from 0 to 1. Without `fast_path` every request
        goes the long way.
        `bug` is told of failures that are ours, with the request's id.
        """
        self._pipeline = pipeline
        self._observers = tuple(observers)
        self.clock = clock
        self._bug = bug
        self._client_token = client_token
        self._max_request_body = max_request_body
        self._scheme = scheme
        self._keep = keep
        self._sample = sample
        # Names need to be different, not secret: the system's generator seeds, it is not asked each time.
        self._bits = random.Random(random.SystemRandom().getrandbits(256)).getrandbits  # noqa: S311
        self._date = ("", -1)
        self.fast: FastPath | None = None
        self.shortcuts: Shortcuts | None = None
        if fast_path and keep == 0 and sample == 0:
            # What a trace or the debug log tells of a request has to be gathered on the long way.
            if expresses is not None:
                self.shortcuts = Shortcuts(
                    self,
                    expresses,
                    clock=clock,
                    observers=self._observers,
                    bits=self._bits,
                    client_token=client_token,
                )
            self.fast = FastPath(
                clock=clock,
                observers=self._observers,
                bits=self._bits,
                client_token=client_token,
                passed=() if self.shortcuts is None else self.shortcuts.unnamed,
            )
        self.header_timeout = header_timeout
        self.idle_timeout = idle_timeout
        self.draining = False
        self.earlier = 0  # requests that were answered as an earlier configuration said
        self._answered = 0
        self.running = 0
        self._over = asyncio.Event()

    async def handle(
        self,
        connection: Connection,
        message: RawRequestMessage,
        payload: StreamReader,
        exchange: Exchange | None = None,
    ) -> bool:
        """Answers one request; whether the connection may be used further.

        `exchange` is its record where it is under way already, with what has begun for it.
        """
        if exchange is None:
            exchange = self.record(method=message.method)
            self.opened(exchange)
        head: Head | None = None
        token: str | None = None
        unsafe = False
        try:
            try:
                head = read(message, most_body=self._max_request_body)
                token = self._let_in(head, exchange)
                response = await self._answer(connection, head, payload, exchange)
            except APIError as failure:
                # Who sends what two readers could take for two things is not read further.
                unsafe = isinstance(failure, BadRequestError)
                response = self._failure(failure, exchange)
            except ConnectionError:
                raise
            except Exception as error:  # noqa: BLE001  # the last line of defence: our bug, the caller's 500
                self._bug(exchange.id, error)
                response = self._failure(InternalError(), exchange)
            if response.duplex is not None and head is not None and head.key is not None:
                return await self._carry(connection, response, response.duplex, head.key, exchange)
            last = head is None or head.final or unsafe or self.draining or not payload.is_eof()
            again = await write(
                connection, response, head, exchange, date=self.date(), last=last, keep=self._keep
            )
            if again and connection.whole and self.fast is not None and head is not None and not head.old:
                await self._learn(connection.whole, exchange, token)
            return again
        except (asyncio.CancelledError, ConnectionError):
            exchange.cut = True
            exchange.status = exchange.status or CLIENT_LEFT
            raise
        finally:
            if exchange.begun is not None:
                exchange.begun.drop()
            self.closed(exchange)

    async def _learn(self, data: bytes, exchange: Exchange, token: str | None) -> None:
        """Of what was answered, how the same would be answered at once."""
        try:
            if self.fast is not None:
                self.fast.learn(data, exchange, token)
            if self.shortcuts is not None:
                await self.shortcuts.learn(data, exchange, token)
        except Exception as error:  # noqa: BLE001  # as in `handle`; its caller has the answer and misses nothing
            self._bug(exchange.id, error)

    async def _carry(
        self, connection: Connection, response: Response, duplex: Duplex, key: str, exchange: Exchange
    ) -> bool:
        """A WebSocket from its opening to its end, with which both connections end."""
        from proxy.server.tunnel import carry  # noqa: PLC0415 - few have WebSockets, and a start pays for none

        try:
            await carry(connection, response, duplex, key, exchange, date=self.date(), leaving=self.draining)
        except ConnectionError:
            exchange.cut = True
            exchange.status = exchange.status or CLIENT_LEFT
            connection.reset()
        except Exception as error:  # noqa: BLE001  # as in `handle`; here there is no way left to say so
            exchange.cut = True
            self._bug(exchange.id, error)
        return False

    async def refuse(self, connection: Connection, failure: APIError) -> None:
        """Answers what did not parse; the connection closes it afterwards."""
        exchange = self.record(method="-")
        self.opened(exchange)
        try:
            await write(
                connection, self._failure(failure, exchange), None, exchange, date=self.date(), last=True
            )
        except ConnectionError:
            exchange.cut = True
        finally:
            self.closed(exchange)

    def _let_in(self, head: Head, exchange: Exchange) -> str | None:
        """Who asks for what; the callers' token by which it may. Raises CallerError."""
        exchange.target = head.target.partition("?")[0]
        exchange.headers_in = head.headers
        exchange.id = callers_id(head.headers) or exchange.id
        if self._sample > 0:
            exchange.trace = begin(head.headers, sample=self._sample, bits=self._bits)
        return None if self._client_token is None else _checked(head, self._client_token.reveal())

    async def _answer(
        self, connection: Connection, head: Head, payload: StreamReader, exchange: Exchange
    ) -> Response:
        body: Whole | CallerBody
        if head.length == 0:
            body = Whole()
        else:
            body = CallerBody(
                payload,
                connection,
                length=head.length,
                most=self._max_request_body,
                idle=self.idle_timeout,
                waits_for_continue=head.expects_continue,
                keep=self._keep,
            )
        ahead = Ahead(connection, old=head.old)
        request = Request(
            method=head.method,
            target=head.target,
            headers=head.headers,
            body=body,
            host=head.host,
            scheme=self._scheme,
            switch=head.key is not None,
            interim=ahead,
        )
        try:
            response = await self._pipeline.answer(
                request, exchange, traceparent=self._traceparent(exchange), caller=connection.peer
            )
        finally:
            ahead.end()
            if isinstance(body, CallerBody):
                exchange.bytes_in = body.received
                exchange.body_in = body.kept
        exchange.first_byte = self.clock.now() - exchange.started
        return response

    def tell(self) -> None:
        """Lets the observers know of all that was answered up to now."""
        if self.fast is not None:
            self.fast.tell()
        if self.shortcuts is not None:
            self.shortcuts.tell()

    def _failure(self, failure: APIError, exchange: Exchange) -> Response:
        response = failed(failure, exchange.method, exchange)
        extra: list[tuple[str, str]] = []
        if isinstance(failure, CallerError):
            extra.append(("Proxy-Authenticate", "Bearer"))
        if failure.status == 405:  # noqa: PLR2004  # RFC 9110 §15.5.6: a 405 names what is allowed
            extra.append(("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"))
        if isinstance(failure, VersionNeeded):
            extra += [("Upgrade", "websocket"), ("Sec-WebSocket-Version", VERSION)]
        if not extra:
            return response
        headers = response.headers.plus(*extra)
        return Response(status=response.status, headers=headers, body=response.body)

    @property
    def answered(self) -> int:
        """Requests, since the start."""
        at_once = 0 if self.fast is None else self.fast.answered
        passed_on = 0 if self.shortcuts is None else self.shortcuts.answered
        return self.earlier + self._answered + at_once + passed_on

    async def over(self) -> None:
        """Waits until no request runs."""
        while self.running:
            self._over.clear()
            await self._over.wait()

    def record(self, *, method: str, name: str = "") -> Exchange:
        """A new record; `name` is the request's id, made where it is empty."""
        wall = self.clock.wall()
        return Exchange(
            id=name or request_id(wall, self._bits),
            method=method,
            target="",
            started=self.clock.now(),
            at=wall,
        )

    def opened(self, exchange: Exchange) -> None:
        """A request is under way."""
        self.running += 1
        for observer in self._observers:
            observer.opened(exchange)

    def closed(self, exchange: Exchange) -> None:
        """It is over."""
        self._answered += 1
        self.running -= 1
        if not self.running:
            self._over.set()
        exchange.seconds = self.clock.now() - exchange.started
        for observer in self._observers:
            observer.closed(exchange)

    def rests(self) -> None:
        """Nothing is under way."""
        self._over.set()

    def _traceparent(self, exchange: Exchange) -> str:
        return traceparent(self._bits) if exchange.begun is None else exchange.begun.traceparent

    def date(self) -> str:
        """The time as a Date field writes it; made once a second."""
        second = int(self.clock.wall())
        if second != self._date[1]:
            self._date = (formatdate(second, usegmt=True), second)
        return self._date[0]


def _checked(head: Head, wanted: str) -> str:
    """The token that was wanted, where the caller gave it. Raises CallerError."""
    given = head.headers.all("leeward-token")
    for line in head.headers.all("proxy-authorization"):
        scheme, _, token = line.partition(" ")
        if scheme.lower() == "bearer":
            given.append(token.strip())
    if not any(hmac.compare_digest(wanted.encode(), token.encode("latin-1")) for token in given):
        raise CallerError("Send the token as Leeward-Token or Proxy-Authorization: Bearer.")
    return wanted
