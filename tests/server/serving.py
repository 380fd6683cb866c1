"""The caller's side alone, on a real socket, in front of a function instead of a pipeline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from proxy.core.exchange import Exchange
from proxy.core.message import Headers, Request, Response, Whole
from proxy.server.app import ProxyApp
from proxy.server.connections import Connections

Answering = Callable[[Request, Exchange], Awaitable[Response]]


class RealClock:
    def now(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()


class Pieces:
    """A body that comes piece by piece, each let through by the test or at once; then an end or an error."""

    def __init__(self, *pieces: bytes, length: int | None = None, error: Exception | None = None) -> None:
        self.pieces = list(pieces)
        self.length = length
        self.error = error
        self.closed = False
        self.gate: asyncio.Event | None = None

    async def read(self) -> bytes:
        if self.gate is not None:
            await self.gate.wait()
        if self.pieces:
            return self.pieces.pop(0)
        if self.error is not None:
            raise self.error
        return b""

    def close(self) -> None:
        self.closed = True


class Record:
    """Keeps every exchange."""

    def __init__(self) -> None:
        self.open: list[Exchange] = []
        self.done: list[Exchange] = []
        self.waiter = asyncio.Event()

    def opened(self, exchange: Exchange) -> None:
        self.open.append(exchange)

    def attempted(self, exchange: Exchange, attempt: Any) -> None: ...

    def repeated(self, hits: Any) -> None: ...

    def passed(self, passes: Any) -> None: ...

    def closed(self, exchange: Exchange) -> None:
        self.done.append(exchange)
        self.waiter.set()

    async def first(self) -> Exchange:
        await asyncio.wait_for(self.waiter.wait(), 10)
        return self.done[0]


class FunctionPipeline:
    def __init__(self, answering: Answering) -> None:
        self.answering = answering

    async def answer(self, request: Request, exchange: Exchange, **_: Any) -> Response:
        return await self.answering(request, exchange)


class Served:
    """What a test reaches: the port, the records, the bugs that were told."""

    def __init__(
        self, app: ProxyApp, connections: Connections, record: Record, bugs: list[BaseException]
    ) -> None:
        self.app = app
        self.connections = connections
        self.record = record
        self.bugs = bugs
        self.port = 0

    @property
    def address(self) -> tuple[str, int]:
        return ("127.0.0.1", self.port)


def text(body: bytes, *fields: tuple[str, str], status: int = 200) -> Response:
    return Response(status=status, reason="OK", headers=Headers.of(*fields), body=Whole(body))


async def echo(request: Request, exchange: Exchange) -> Response:
    data = b""
    while piece := await request.body.read():
        data += piece
    return text(b"%b %b " % (request.method.encode(), request.target.encode("latin-1")) + data)


@asynccontextmanager
async def serving(answering: Answering = echo, **changes: Any) -> AsyncIterator[Served]:
    record, bugs = Record(), list[BaseException]()
    settings: dict[str, Any] = {
        "max_request_body": 1000,
        "header_timeout": 5.0,
        "idle_timeout": 5.0,
        "clock": RealClock(),
        **changes,
    }
    app = ProxyApp(
        pipeline=FunctionPipeline(answering),  # type: ignore[arg-type]
        observers=[record],
        bug=lambda _, error: bugs.append(error),
        **settings,
    )
    loop = asyncio.get_running_loop()
    connections = Connections(app, loop)
    served = Served(app, connections, record, bugs)
    server = await loop.create_server(connections, "127.0.0.1", 0)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()
        connections.close(idle_only=False)
        await asyncio.sleep(0)
