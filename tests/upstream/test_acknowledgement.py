"""Is what came acknowledged at once, where it is asked for?"""

from __future__ import annotations

import asyncio
import socket
import struct
from pathlib import Path
from typing import cast

import pytest

from proxy.upstream import acknowledgement
from proxy.upstream.acknowledgement import acknowledge

_UNACKNOWLEDGED = 24  # where it stands in the kernel's `struct tcp_info`


def unacknowledged(connection: socket.socket) -> int:
    """Segments that were sent on it and of which the other side has not yet said that they came."""
    told = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return int(struct.unpack_from("=I", told, _UNACKNOWLEDGED)[0])


class Heard(asyncio.Protocol):
    """Answers each word with another; says of a dot that it came."""

    def __init__(self) -> None:
        self.dots: asyncio.Queue[None] = asyncio.Queue()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        assert self.transport is not None
        if data == b".":
            self.dots.put_nowait(None)
        else:
            self.transport.write(b"yes")


async def test_what_came_is_acknowledged_at_once() -> None:
    heard, loop = Heard(), asyncio.get_running_loop()
    server = await loop.create_server(lambda: heard, "127.0.0.1", 0)
    with socket.create_connection(server.sockets[0].getsockname()) as caller:
        caller.setblocking(False)
        for _ in range(8):  # so long that the system takes it for a conversation
            await loop.sock_sendall(caller, b"word")
            assert await loop.sock_recv(caller, 9) == b"yes"
        for _ in range(3):
            await loop.sock_sendall(caller, b".")
            await heard.dots.get()
            acknowledge(heard.transport)
            assert unacknowledged(caller) == 0
    assert heard.transport is not None
    heard.transport.abort()
    server.close()
    acknowledge(heard.transport)


async def test_without_tcp_there_is_nothing_to_acknowledge(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard, loop = Heard(), asyncio.get_running_loop()
    place = str(folder / "s")
    server = await loop.create_unix_server(lambda: heard, place)
    with socket.socket(socket.AF_UNIX) as caller:
        caller.setblocking(False)
        await loop.sock_connect(caller, place)
        await loop.sock_sendall(caller, b".")
        await heard.dots.get()
        acknowledge(heard.transport)
        monkeypatch.setattr(acknowledgement, "_AT_ONCE", None)
        acknowledge(heard.transport)
    acknowledge(None)
    server.close()
