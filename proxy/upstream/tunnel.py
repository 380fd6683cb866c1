"""What does an upstream's connection become once it has switched protocols?

The law: bytes both ways, as they come, on a connection that is never used for anything else again. What
is written is still sent when it is closed, but not waited for without end.
"""

from __future__ import annotations

import asyncio

from aiohttp.connector import Connection
from aiohttp.streams import StreamReader

from proxy.upstream.translate import LIBRARY_ERRORS, translate
from proxy.upstream.wire import Wire, unread

_LINGER = 5.0  # seconds for what is still to be sent


class Tunnel:
    """Satisfies core's Duplex, and Body for who only closes it."""

    __slots__ = ("_connection", "_place", "_stream", "_wire", "idle")

    length = None

    def __init__(
        self, connection: Connection, wire: Wire, stream: StreamReader, *, idle: float, place: str
    ) -> None:
        """`idle` in seconds; `place` is host:port, for failures."""
        self._connection: Connection | None = connection
        self._wire = wire
        self._stream = stream
        self._place = place
        self.idle = idle

    async def read(self) -> bytes:
        data = unread(self._stream)  # also where the connection has broken behind it
        if data:
            return data
        try:
            return await self._stream.readany()
        except LIBRARY_ERRORS as error:
            raise translate(error, place=self._place, sent=True) from None

    def write(self, data: bytes) -> None:
        if not self._wire.is_connected():
            raise ConnectionResetError("The upstream has closed the connection.")
        self._wire.write(data)

    async def drain(self) -> None:
        await self._wire.drain()

    def close(self) -> None:
        """Ends the connection behind what was written. Closing twice does nothing."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        transport = self._wire.transport
        connection.close()
        if transport is not None:
            # Or the end would wait behind bytes that nobody takes.
            asyncio.get_running_loop().call_later(_LINGER, transport.abort)
