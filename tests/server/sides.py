"""Two servers on one clock in front of one origin, of which one has a fast path; and callers of both."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from proxy.core.exchange import Exchange, Pass, Repeat
from proxy.core.failure import CredentialError
from proxy.core.message import Headers, Request, Response, Whole
from proxy.core.routing import Route, Table
from proxy.gateway.caching import Caching
from proxy.gateway.pipeline import Pipeline
from proxy.gateway.refresh import Refresh
from proxy.gateway.repeats import Repeats
from proxy.server.app import ProxyApp
from proxy.server.connections import Connections
from proxy.stores.memory import MemoryStore
from proxy.stores.receipts import MemoryReceipts
from tests.core.caching.samples import SECRET
from tests.gateway.stage import Hands

HEAD_END = b"\r\n\r\n"
OWN_ID = re.compile(rb"\b[0-9A-HJKMNP-TV-Z]{26}\b")

ANSWERS: dict[str, tuple[int, list[tuple[str, str]], bytes]] = {
    "/plain": (200, [("Cache-Control", "max-age=60")], b"plain"),
    "/short": (200, [("Cache-Control", "max-age=2, stale-while-revalidate=0")], b"short"),
    "/aged": (200, [("Cache-Control", "max-age=9"), ("Age", "3")], b"aged"),
    "/dated": (200, [("Cache-Control", "max-age=60"), ("Date", "Sun, 06 Nov 1994 08:49:37 GMT")], b""),
    "/etag": (200, [("Cache-Control", "max-age=5"), ("ETag", '"1"')], b"tagged"),
    "/modified": (
        200,
        [("Cache-Control", "max-age=9"), ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT")],
        b"modified",
    ),
    "/checked": (200, [("Cache-Control", "max-age=2, must-revalidate"), ("ETag", 'W/"2"')], b"checked"),
    "/told": (200, [("Cache-Control", "max-age=60"), ("Cache-Status", "edge; hit; ttl=9")], b"told"),
    "/cookie": (200, [("Cache-Control", "max-age=60"), ("Set-Cookie", "a=1")], b"cookie"),
    "/any": (200, [("Cache-Control", "max-age=60"), ("Vary", "*")], b"any"),
    "/language": (200, [("Cache-Control", "max-age=60"), ("Vary", "Accept-Language")], b"hello"),
    "/traced": (200, [("Cache-Control", "max-age=60"), ("Vary", "traceparent")], b"traced"),
    "/named": (200, [("Cache-Control", "max-age=60"), ("Vary", "X-Request-Id")], b"named"),
    "/theirs": (200, [("Cache-Control", "max-age=60"), ("X-Request-Id", "theirs")], b"theirs"),
    "/none": (204, [("Cache-Control", "max-age=60")], b""),
    "/missing": (404, [("Cache-Control", "max-age=60")], b'{"message": "no"}'),
    "/never": (200, [("Cache-Control", "no-store")], b"never"),
    "/large": (200, [("Cache-Control", "max-age=60")], b"l" * 150_000),
}
FIELDS = [
    "Accept-Language: de", "Accept-Language: en", "Authorization: Bearer a", "Authorization: Bearer b",
    "Cache-Control: no-cache", "Cache-Control: max-age=1", "Range: bytes=1-2", 'If-None-Match: "1"',
    "Cache-Control: only-if-cached", "Cache-Control: max-stale=5", "Cache-Control: no-store",
    "Range: bytes=0-0,2-3", 'If-Range: "1"', "Pragma: no-cache",
    "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT",
    "Leeward-Token: open", "Leeward-Token: shut", "Proxy-Authorization: Bearer open", "Accept-Encoding: gzip",
    "TRACEPARENT: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "X-REQUEST-ID: loud",
    "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n folded",
    "Connection: close", "X-Request-Id: mine", "x-request-id: theirs", "X-Request-Id:odd",
    "X-Request-Id: a b",
    "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "traceparent: nonsense",
    "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-00", "Cookie: a=1", "User-Agent: x",
]  # fmt: skip


class Kept:
    """An observer that counts what it is told."""

    def __init__(self) -> None:
        self.done: list[tuple[str, str, int, str, int]] = []

    def opened(self, exchange: Exchange) -> None: ...

    def attempted(self, exchange: Exchange, attempt: Any) -> None: ...

    def closed(self, exchange: Exchange) -> None:
        self._keep(exchange)

    def repeated(self, hits: Sequence[Repeat]) -> None:
        for exchange, *_ in hits:
            self._keep(exchange)

    def passed(self, passes: Sequence[Pass]) -> None:
        for exchange, *_ in passes:
            self._keep(exchange)

    def _keep(self, exchange: Exchange) -> None:
        told = (exchange.method, exchange.target, exchange.status, exchange.verdict.value, exchange.bytes_out)
        self.done.append(told)


@dataclass
class Side:
    """One of the two."""

    app: ProxyApp
    connections: Connections
    caching: Caching
    kept: Kept
    port: int
    asked: list[str] = field(default_factory=list)
    at_once: int = 0
    callers: list[Caller] = field(default_factory=list)

    def caller(self) -> Caller:
        self.callers.append(Caller(self.port))
        return self.callers[-1]


class Token:
    """A secret that a test changes."""

    def __init__(self) -> None:
        self.value = "open"

    def reveal(self) -> str:
        return self.value

    def describe(self) -> str:
        return "a test"


class Changing:
    """An injector whose credential a test changes; None = it cannot be had."""

    replaced = frozenset({"authorization"})

    def __init__(self) -> None:
        self.name: str | None = "one"

    def describe(self) -> str:
        return "changing"

    def identity(self) -> str:
        if self.name is None:
            raise CredentialError("none")
        return self.name

    async def inject(self, request: object) -> None: ...

    def mask(self, text: str) -> str:
        return text


@asynccontextmanager
async def side(clock: Hands, *, fast: bool, on: Route, token: Token | None = None) -> AsyncIterator[Side]:
    store = MemoryStore(max_bytes=1 << 24, max_entry_bytes=1 << 20)
    refresh = Refresh(on_error=lambda error: None)
    caching = Caching(store=store, clock=clock, refresh=refresh, secret_key=SECRET, peek=store.peek)
    asked: list[str] = []

    class Origin:
        async def send(self, request: Request, on: Route, exchange: Exchange) -> Response:
            asked.append(request.target)
            status, fields, body = ANSWERS[request.target]
            headers = Headers.of(*fields, ("Content-Length", str(len(body))))
            return Response(status=status, reason="OK", headers=headers, body=Whole(body))

    receipts = MemoryReceipts(max_bytes=1 << 20, clock=clock)
    repeats = Repeats(receipts=receipts, clock=clock, refresh=refresh, secret=SECRET, max_answer=1 << 20)
    pipeline = Pipeline(table=Table([on]), repeats=repeats, caching=caching, upstream=Origin(), clock=clock)
    kept = Kept()
    app = ProxyApp(
        pipeline=pipeline, observers=[kept], clock=clock, bug=lambda _, error: None, max_request_body=1000,
        header_timeout=5, idle_timeout=5, fast_path=fast, client_token=token,
    )  # fmt: skip
    connections = Connections(app, asyncio.get_running_loop())
    server = await asyncio.get_running_loop().create_server(connections, "127.0.0.1", 0)
    made = Side(app, connections, caching, kept, server.sockets[0].getsockname()[1], asked)
    if app.fast is not None:
        answer = app.fast.answer

        def counting(data: bytes, transport: Any) -> float | None:
            answered = answer(data, transport)
            made.at_once += answered is not None
            return answered

        app.fast.answer = counting  # type: ignore[method-assign]
    try:
        yield made
    finally:
        for caller in made.callers:
            await caller.close()
        server.close()
        connections.close(idle_only=False)
        await refresh.drain(0)
        await asyncio.sleep(0)


class Caller:
    """One connection, opened again whenever it was closed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, *pieces: bytes) -> bytes:
        """One request in so many pieces, and its whole answer."""
        return await self._ask(pieces, [b"".join(pieces)])

    async def pipelined(self, requests: Sequence[bytes]) -> bytes:
        """Requests that come together, and all answers; where one says that it is the last, up to that."""
        return await self._ask([b"".join(requests)], requests)

    async def _ask(self, pieces: Sequence[bytes], requests: Sequence[bytes]) -> bytes:
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        for piece in pieces:
            self._writer.write(piece)
            await asyncio.sleep(0.001 if len(pieces) > 1 else 0)
        answers = []
        for request in requests:
            answers.append(await _answer(self._reader, request))
            if b"\r\nConnection: close" in answers[-1]:
                await self.close()
                break
        return b"".join(answers)

    async def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            with suppress(ConnectionError):
                await self._writer.wait_closed()
        self._reader = self._writer = None


async def _answer(reader: asyncio.StreamReader, request: bytes) -> bytes:
    head = await asyncio.wait_for(reader.readuntil(HEAD_END), 10)
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
    status = int(head.split(b" ")[1])
    bodyless = request.startswith(b"HEAD") or status in {204, 304}
    assert length is not None or bodyless
    return head if length is None or bodyless else head + await reader.readexactly(int(length[1]))


def get(path: str, *fields: str, method: str = "GET") -> bytes:
    return "\r\n".join((f"{method} {path} HTTP/1.1", "Host: a", *fields, "", "")).encode()
