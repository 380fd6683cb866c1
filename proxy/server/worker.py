"""How does a process start, serve and end?

The law: ready is said once both ports listen. On SIGTERM (or `drain`) readiness fails at once, what runs
is finished, new calls are still served until nothing runs any more or `drain_timeout` is over; then the
process ends with 0. A second signal means now.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, cast

from aiohttp import web

from proxy import __version__
from proxy.admin.api import Sources, UnknownUpstreamError, application
from proxy.admin.status import snapshot
from proxy.admin.stored import shown
from proxy.config.certificates import for_callers
from proxy.config.settings import Settings
from proxy.core.caching.purge import Purge
from proxy.observe.logs import MOST_BODY
from proxy.server.app import ProxyApp
from proxy.server.connection import Connections
from proxy.server.listening import ListenError, bound, leave, listen
from proxy.wiring import Runtime, build

_QUIET = 0.25  # seconds without a request after which a draining process takes the calls to be over
_LOOK = 0.05  # seconds between two looks at what is still running

__all__ = ["ListenError", "Worker"]


class Worker:
    """One process's event loop: the proxy's port, the admin port, and their end."""

    def __init__(self, settings: Settings, *, ready: Callable[[str, str], None]) -> None:
        """`ready` is called once with both addresses as they are really bound."""
        self._settings = settings
        self._ready = ready
        self._stop = asyncio.Event()
        self._now = asyncio.Event()
        self._app: ProxyApp | None = None

    def drain(self) -> None:
        """Ends the process once nothing runs any more; called again, now."""
        if self._stop.is_set():
            self._now.set()
        self._stop.set()
        if self._app is not None:
            self._app.draining = True

    def draining(self) -> bool:
        return self._stop.is_set()

    async def run(self) -> None:
        """Serves until told to stop. Raises ListenError."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.drain)
        runtime = await build(self._settings)
        try:
            await self._serve(runtime, loop)
        finally:
            await runtime.close()

    async def _serve(self, runtime: Runtime, loop: asyncio.AbstractEventLoop) -> None:
        server_settings = self._settings.server
        tls = for_callers(server_settings.tls) if server_settings.tls is not None else None
        app = self._app = ProxyApp(
            pipeline=runtime.pipeline,
            observers=runtime.observers,
            clock=runtime.clock,
            bug=runtime.bug,
            client_token=server_settings.client_token,
            max_request_body=server_settings.max_request_body,
            header_timeout=server_settings.header_timeout,
            idle_timeout=server_settings.idle_timeout,
            scheme="http" if tls is None else "https",
            keep=MOST_BODY if self._settings.log.bodies and self._settings.log.level == "debug" else 0,
            sample=self._settings.tracing.share(),
        )
        connections = Connections(app, loop)
        server = await listen(connections, server_settings.listen, tls=tls)
        hosts = [server_settings.admin.host] if server_settings.admin.host else []
        admin = web.AppRunner(
            application(self._sources(runtime), hosts=hosts), access_log=None, shutdown_timeout=1.0
        )
        try:
            await admin.setup()
            admin_server = await listen(cast("web.Server", admin.server), server_settings.admin)
            try:
                self._ready(
                    bound(server, server_settings.listen, tls=tls is not None),
                    bound(admin_server, server_settings.admin, tls=False),
                )
                await self._stop.wait()
                await self._drained(app, connections)
            finally:
                admin_server.close()
                await asyncio.to_thread(leave, server_settings.admin)
        finally:
            server.close()
            await asyncio.to_thread(leave, server_settings.listen)
            connections.close(idle_only=False)
            await admin.cleanup()

    def _sources(self, runtime: Runtime) -> Sources:
        started = runtime.clock.now()
        routes = {
            route.name: {
                "url": route.origins[0].url,
                "prefix": route.prefix or "/",
                "credential": route.injector.describe(),
            }
            for route in runtime.table.routes
        }

        def readiness() -> tuple[bool, Mapping[str, Any]]:
            draining = self._stop.is_set()
            return not draining, {"draining": draining}

        def known(what: Purge) -> Purge:
            if what.upstream is not None and what.upstream not in routes:
                raise UnknownUpstreamError(what.upstream)
            return what

        async def cache(what: Purge, limit: int) -> list[dict[str, Any]]:
            found = await runtime.store.kept(known(what), limit)
            now = runtime.clock.now()
            return [shown(kept, now, runtime.mask) for kept in found]

        async def purge(what: Purge) -> int:
            return await runtime.caching.purge(known(what))

        return Sources(
            exposition=runtime.metrics.exposition,
            readiness=readiness,
            status=lambda: snapshot(
                version=__version__,
                uptime=runtime.clock.now() - started,
                ready=not self._stop.is_set(),
                metrics=runtime.metrics,
                recent=runtime.recent,
                upstreams=routes,
                capacity={"memory": self._settings.cache.max_bytes},
            ),
            requests=runtime.recent.latest,
            cache=cache,
            purge=purge,
            explain=runtime.explain,
            drain=self.drain,
        )

    async def _drained(self, app: ProxyApp, connections: Connections) -> None:
        """Until nothing has run for a moment, the time is over, or somebody says now."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.server.drain_timeout):
                quiet, answered = 0.0, app.answered
                while quiet < _QUIET and not self._now.is_set():
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._now.wait(), _LOOK)
                    idle = not connections.busy() and app.answered == answered
                    quiet = quiet + _LOOK if idle else 0.0
                    answered = app.answered
