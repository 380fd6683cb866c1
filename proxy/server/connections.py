"""Which connections are open, and whose requests come over them?"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from aiohttp.http import RawRequestMessage
from aiohttp.streams import StreamReader

from proxy.server.connection import Connection

if TYPE_CHECKING:
    from proxy.core.exchange import Exchange
    from proxy.core.failure import APIError
    from proxy.core.ports import Clock
    from proxy.server.fastpath import FastPath
    from proxy.server.shortcut import Shortcuts


class App(Protocol):
    """What a connection, and who answers on it without a task, asks about each request."""

    header_timeout: float  # seconds
    idle_timeout: float  # seconds

    fast: FastPath | None
    shortcuts: Shortcuts | None
    clock: Clock
    draining: bool
    running: int

    async def handle(
        self,
        connection: Connection,
        message: RawRequestMessage,
        payload: StreamReader,
        exchange: Exchange | None = None,
    ) -> bool:
        """Answers; whether the connection may be used further. `exchange`: of what has begun already."""

    async def refuse(self, connection: Connection, failure: APIError) -> None:
        """Answers what did not even parse. The connection is closed afterwards."""

    def record(self, *, method: str, name: str = "") -> Exchange:
        """A new record; `name` is the request's id, made where it is empty."""

    def opened(self, exchange: Exchange) -> None:
        """A request is under way."""

    def closed(self, exchange: Exchange) -> None:
        """It is over."""

    def rests(self) -> None:
        """Nothing is under way."""

    def date(self) -> str:
        """The time as a Date field writes it."""


class Taking(Protocol):
    """Where the bytes of another protocol go; in the library's words a parser."""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]: ...

    def feed_eof(self) -> None: ...


class Connections:
    """All connections of one listening socket; in the library's words, its `Server`."""

    handler_cancellation = True  # a caller that leaves cancels its request
    request_handler = None
    request_factory = None

    def __init__(self, app: App, loop: asyncio.AbstractEventLoop) -> None:
        self.app = app
        self._loop = loop
        self.open: set[Connection] = set()

    def __call__(self) -> Connection:
        return Connection(self, loop=self._loop)

    def connection_made(self, connection: Connection, _transport: asyncio.Transport) -> None:
        self.open.add(connection)

    def connection_lost(self, connection: Connection, _exc: BaseException | None = None) -> None:
        self.open.discard(connection)

    def busy(self) -> int:
        """Connections on which a request is being answered."""
        return sum(1 for connection in self.open if connection.busy)

    def leave(self) -> None:
        """Says goodbye on every open WebSocket; nothing else would end one."""
        for connection in list(self.open):
            if connection.tunnel is not None:
                connection.tunnel.leave()

    def close(self, *, idle_only: bool) -> None:
        """Closes idle connections cleanly; the busy ones too, visibly broken, unless `idle_only`."""
        for connection in list(self.open):
            if not connection.busy:
                connection.force_close()
            elif not idle_only:
                connection.reset()
