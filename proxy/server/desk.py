"""How is the admin port served, by one process alone or for several workers?

Its socket listens before ready is said. What answers on it, a web framework that the proxy's own port does
without, is loaded after that, and beside what the proxy serves meanwhile; who asks earlier waits so long.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from types import TracebackType
from typing import TYPE_CHECKING, cast

from proxy.config.addresses import Address
from proxy.server.listening import BACKLOG, leave, named, sockets

if TYPE_CHECKING:
    from aiohttp import web

    from proxy.admin.asked import Sources

_LOGGER = logging.getLogger("leeward")


class AdminPort:
    """Open within `async with`, which gives its address as it is really bound and raises ListenError."""

    def __init__(self, sources: Sources, address: Address) -> None:
        self._sources = sources
        self._address = address
        self._runner: web.AppRunner | None = None
        self._servers: list[asyncio.Server] = []
        self._opening: asyncio.Task[None] | None = None

    async def __aenter__(self) -> str:
        (listening,) = await asyncio.to_thread(sockets, self._address, 1)
        self._opening = asyncio.create_task(self._open(listening), name="admin port")
        self._opening.add_done_callback(_told)
        return named(listening[0], self._address, tls=False)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._opening is not None:
            await asyncio.wait([self._opening])
        for server in self._servers:
            server.close()
        await asyncio.to_thread(leave, self._address)
        if self._runner is not None:
            await self._runner.cleanup()

    async def _open(self, listening: list[socket.socket]) -> None:
        runner = self._runner = await asyncio.to_thread(_runner, self._sources, self._address)
        await runner.setup()
        factory = cast("web.Server", runner.server)
        loop = asyncio.get_running_loop()
        for own in listening:
            if own.family == socket.AF_UNIX:
                self._servers.append(await loop.create_unix_server(factory, sock=own, backlog=BACKLOG))
            else:
                self._servers.append(await loop.create_server(factory, sock=own, backlog=BACKLOG))


def _runner(sources: Sources, address: Address) -> web.AppRunner:
    from aiohttp import web  # noqa: PLC0415 - after the start, in a thread of its own

    from proxy.admin.api import application  # noqa: PLC0415
    from proxy.observe import exposition  # noqa: F401, PLC0415 - the first who looks need not wait for it

    hosts = [address.host] if address.host else []
    return web.AppRunner(application(sources, hosts=hosts), access_log=None, shutdown_timeout=1.0)


def _told(opening: asyncio.Task[None]) -> None:
    if not opening.cancelled() and opening.exception() is not None:
        _LOGGER.error("The admin port cannot be served", exc_info=opening.exception())
