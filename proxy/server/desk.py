"""How is the admin port served, by one process alone or for several workers?"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import cast

from aiohttp import web

from proxy.admin.api import Sources, application
from proxy.config.addresses import Address
from proxy.server.listening import bound, leave, listen


class AdminPort:
    """Open within `async with`, which gives its address as it is really bound and raises ListenError."""

    def __init__(self, sources: Sources, address: Address) -> None:
        hosts = [address.host] if address.host else []
        self._address = address
        self._runner = web.AppRunner(application(sources, hosts=hosts), access_log=None, shutdown_timeout=1.0)
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> str:
        await self._runner.setup()
        try:
            self._server = await listen(cast("web.Server", self._runner.server), self._address)
        except BaseException:
            await self._runner.cleanup()
            raise
        return bound(self._server, self._address, tls=False)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.close()
            await asyncio.to_thread(leave, self._address)
        await self._runner.cleanup()
