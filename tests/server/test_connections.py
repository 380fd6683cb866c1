"""Which are open, which are busy, and how are they closed?"""

from __future__ import annotations

import asyncio

from proxy.core.exchange import Exchange
from proxy.core.message import Request, Response
from tests.server.serving import serving, text

ASKED = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


async def test_idle_ones_are_closed_cleanly_and_busy_ones_when_it_must_be() -> None:
    gate = asyncio.Event()

    async def answering(request: Request, exchange: Exchange) -> Response:
        await gate.wait()
        return text(b"late")

    async with serving(answering) as served:
        idle_reader, idle = await asyncio.open_connection(*served.address)
        busy_reader, busy = await asyncio.open_connection(*served.address)
        busy.write(ASKED)
        while served.connections.busy() != 1 or len(served.connections.open) != 2:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0)
        served.connections.close(idle_only=True)
        assert await asyncio.wait_for(idle_reader.read(), 10) == b""
        assert len(served.connections.open) == served.connections.busy() == 1
        served.connections.close(idle_only=False)
        try:
            seen = await asyncio.wait_for(busy_reader.read(), 10)
        except ConnectionError:
            seen = b""
        assert seen == b""
        idle.close()
        busy.close()
