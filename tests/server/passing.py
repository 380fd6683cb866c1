"""Two programs' insides in front of one scripted origin, of which only one has a fast path."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from proxy.config.settings import Settings
from proxy.observe.exposition import metric
from proxy.server.app import ProxyApp
from proxy.server.connections import Connections
from proxy.server.serving import _app
from proxy.wiring import Runtime, build
from tests.origin import Origin

DATE = "Date: Sun, 22 Nov 2026 12:00:00 GMT"
_OWN = re.compile(rb"\b[0-9A-HJKMNP-TV-Z]{26}\b")
_TRACE = re.compile(rb"(?i)traceparent: 00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_FIGURES = {
    f"leeward_{name}"
    for name in (
        *("requests", "upstream_attempts", "retries", "errors", "cache_hits", "cache_misses"),
        *("inflight_requests", "circuit_state", "upstream_quota_remaining"),
    )
}
API: dict[str, Any] = {
    "prefix": "/",
    "auth": {"type": "bearer", "token": "sesame-sesame"},
    "retry": {"attempts": 2, "backoff": {"initial": "1ms", "max": "1ms"}},
    "timeout": {"connect": "2s", "attempt": "0.8s", "total": "4s"},
    "circuit_breaker": None,
}


def said(*fields: str, status: str = "200 OK", body: bytes = b"body", date: bool = True) -> bytes:
    """An answer with a length, unless a field says otherwise."""
    framed = any(
        name in field.lower() for field in fields for name in ("content-length", "transfer-encoding")
    )
    lines = [f"HTTP/1.1 {status}", *([DATE] if date else []), *fields]
    if not framed:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join((*lines, "", "")).encode("latin-1") + body


NEVER = "Cache-Control: no-store"
# What an upstream may say to a request of which nothing is kept.
ANSWERS: dict[str, bytes] = {
    "plain": said(NEVER, "Content-Type: application/json"),
    "private": said("Cache-Control: private, max-age=60", "Set-Cookie: a=1", "Set-Cookie: b=2"),
    "silent": said("Content-Type: text/plain"),
    "empty": said(NEVER, body=b""),
    "named": said(NEVER, "X-Request-Id: theirs"),
    "named mine": said(NEVER, "X-Request-Id: mine"),
    "named twice": said(NEVER, "X-Request-Id: one", "X-Request-Id: two"),
    "dateless": said(NEVER, date=False),
    "kept alive": said(NEVER, "Connection: keep-alive", "Keep-Alive: timeout=5, max=100"),
    "last": said(NEVER, "Connection: close"),
    "listed": said(NEVER, "Connection: keep-alive, X-Hop", "X-Hop: 1"),
    "folded": said(NEVER, "X-Folded: a\r\n b"),
    "blanks": said(NEVER, "X-Blank:   a  ", "X-Tab: a\tb", "X-None:"),
    "tight": said(NEVER, "X-Tight:a"),
    "latin": said(NEVER, "X-Latin: caf\xe9"),
    "odd reason": said(NEVER, status="200 All  is\twell"),
    "no reason": said(NEVER, status="200 "),
    "created": said(NEVER, status="201 Created"),
    "no content": b"HTTP/1.1 204 No Content\r\n" + DATE.encode() + b"\r\n\r\n",
    "reset content": said(NEVER, status="205 Reset Content", body=b""),
    "partial": said(NEVER, "Content-Range: bytes 0-3/9", status="206 Partial Content"),
    "moved": said(NEVER, "Location: /there", status="302 Found"),
    "unchanged": b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\n' + DATE.encode() + b"\r\n\r\n",
    "missing": said(NEVER, status="404 Not Found"),
    "limited": said(NEVER, "Retry-After: 9", status="429 Too Many Requests"),
    "failed": said(NEVER, status="500 Oh"),
    "quota": said(NEVER, "X-RateLimit-Remaining: 4000", "X-RateLimit-Limit: 5000"),
    "ours": said(NEVER, "Leeward-Error: x", "Leeward-Attempts: 9"),
    "cached before": said(NEVER, "Cache-Status: other; hit", "Via: 1.1 other", "Age: 4"),
    "chunked": said(NEVER, "Transfer-Encoding: chunked", body=b"4\r\nbody\r\n0\r\n\r\n"),
    "two lengths": said(NEVER, "Content-Length: 4", "Content-Length: 4"),
    "odd length": said(NEVER, "Content-Length: +4"),
    "old": said(NEVER).replace(b"HTTP/1.1", b"HTTP/1.0", 1),
    "interim": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + said(NEVER),
    "events": said(NEVER, "Content-Type: text/event-stream", body=b"data: 1\n\n"),
    "too much": said(NEVER, "Content-Length: 2", body=b"body"),
    "large": said(NEVER, body=b"l" * 600_000),
    "nonsense": b"SSH-2.0-no\r\n\r\n",
    "control": said(NEVER, "X-Bad: a\x01b"),
    "storable": said("Cache-Control: max-age=60", 'ETag: "1"'),
    "varied": said("Vary: *", "Cache-Control: max-age=60"),
    "expired": said("Expires: Sun, 22 Nov 2026 11:00:00 GMT"),
}
ASKED = {
    "plain": [],
    "agent": ["User-Agent: x", "Accept: */*"],
    "traced": ["traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],
    "named": ["X-Request-Id: mine"],
    "both": ["x-request-id: mine", "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-00"],
    "odd trace": ["traceparent: nonsense"],
    "tight trace": ["traceparent:00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],
    "two names": ["X-Request-Id: a", "X-Request-Id: b"],
    "credential": ["Authorization: Bearer mine"],
    "no-cache": ["Cache-Control: no-cache"],
    "no-store": ["Cache-Control: no-store"],
    "last": ["Connection: close"],
    "patient": ["X-Request-Timeout: 1"],
    "conditional": ['If-None-Match: "1"'],
    "range": ["Range: bytes=0-1"],
    "batch": ["Leeward-Priority: batch"],
}


def asking(path: str, *fields: str, version: str = "1.1") -> bytes:
    return "\r\n".join((f"GET {path} HTTP/{version}", "Host: a", *fields, "", "")).encode()


class Side:
    """One of the two."""

    def __init__(self, app: ProxyApp, runtime: Runtime, connections: Connections, port: int) -> None:
        self.app = app
        self.connections = connections
        self.runtime = runtime
        self.port = port
        self.rides = 0

    async def behind(self, size: int) -> None:
        """Until so many bytes wait behind a request that is under way."""
        async with asyncio.timeout(10):
            while sum(len(one._waiting_behind) for one in self.connections.open) < size:  # noqa: ASYNC110 - bytes tell nobody
                await asyncio.sleep(0)

    def figures(self) -> dict[str, float]:
        """By name and labels: what is counted, but not how long anything took."""
        self.app.tell()
        return {
            f"{sample.name}{sorted(sample.labels.values())}": sample.value
            for family in map(metric, self.runtime.metrics.collect())
            if family.name in _FIGURES
            for sample in family.samples
        }

    def figure(self, name: str, *labels: str) -> float:
        return self.figures()[f"leeward_{name}{sorted(labels)}"]

    def rows(self) -> list[tuple[Any, ...]]:
        self.app.tell()
        rows = self.runtime.recent.summaries()
        return [
            (
                r.method,
                r.path,
                r.upstream,
                r.status,
                r.cache,
                r.reason,
                r.attempts,
                r.bytes_out,
                r.error,
                r.cut,
            )
            for r in rows
        ]


@asynccontextmanager
async def side(origin: Origin, *, fast: bool, **changes: Any) -> AsyncIterator[Side]:
    api = {**API, "base_url": origin.url, **changes}
    said_ = Settings(log={"access": False}, server={"fast_path": fast}, upstreams={"api": api})
    runtime = await build(said_)
    app = _app(said_, runtime)
    connections = Connections(app, asyncio.get_running_loop())
    server = await asyncio.get_running_loop().create_server(connections, "127.0.0.1", 0)
    made = Side(app, runtime, connections, server.sockets[0].getsockname()[1])
    if app.shortcuts is not None:
        send = app.shortcuts._expresses.send

        def counting(*asked: Any) -> Any:
            express = send(*asked)
            made.rides += express is not None
            return express

        app.shortcuts._expresses.send = counting  # type: ignore[method-assign, assignment]
    try:
        yield made
    finally:
        server.close()
        connections.close(idle_only=False)
        await app.over()
        await runtime.close(0)
        await runtime.opened.close()


class Caller:
    """One connection, opened again whenever it was closed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, data: bytes) -> bytes:
        """The answer's bytes, interim ones before it, as far as they come; `!` behind them where cut."""
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writer.write(data)
        async with asyncio.timeout(10):
            return await self._answer(self._reader)

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        seen = b""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                seen += head
                status = int(head[9:12])
                if status >= 200:
                    break
            length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
            if b"chunked" in head:
                seen += await reader.readuntil(b"0\r\n\r\n")
            elif status not in {204, 304} and length is not None:
                seen += await reader.readexactly(int(length[1]))
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            seen += getattr(error, "partial", b"") + b"!"
        if seen.endswith(b"!") or b"\r\nConnection: close" in seen:
            await self.close()
        return seen

    async def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            with suppress(ConnectionError):
                await self._writer.wait_closed()
        self._reader = self._writer = None


def alike(data: bytes) -> bytes:
    """Without what is made up for each request, and the time."""
    data = _TRACE.sub(b"traceparent: T", _OWN.sub(b"I", data))
    return re.sub(rb"Date: (?!Sun, 22 Nov 2026 12:00:00)[^\r]+|(?<=\"request_id\":)\"[^\"]+\"", b"D", data)


def of_upstream(origin: Origin) -> list[bytes]:
    return [alike(hit.raw_head) for hit in origin.hits()]
