"""How does a process that serves alone start, reload and end?

The law: ready is said once both ports listen. On SIGTERM (or `drain`) readiness fails at once, what runs
is finished, new calls are still served until nothing runs any more or `drain_timeout` is over; then the
process ends with 0. A second signal means now. SIGHUP (or `reload`) reads the configuration again.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

from proxy.config.loading import Loaded
from proxy.config.settings import Settings
from proxy.server.desk import AdminPort
from proxy.server.listening import ListenError
from proxy.server.reloading import Reloading
from proxy.server.serving import Serving
from proxy.server.sources import Told
from proxy.wiring import build

__all__ = ["ListenError", "Worker"]


class Worker:
    """One process's event loop: the proxy's port, the admin port, and their end."""

    def __init__(
        self,
        loaded: Loaded,
        *,
        ready: Callable[[str, str], None],
        again: Callable[[], Loaded] | None = None,
    ) -> None:
        """`ready` is called once with both addresses as they are really bound; `again` loads anew."""
        self._loaded = loaded
        self._ready = ready
        self._again = again or (lambda: loaded)
        self._stop = asyncio.Event()
        self._now = asyncio.Event()
        self._serving: Serving | None = None
        self._reloads: set[asyncio.Task[list[str]]] = set()

    def drain(self) -> None:
        """Ends the process once nothing runs any more; called again, now."""
        if self._stop.is_set():
            self._now.set()
        self._stop.set()
        if self._serving is not None:
            self._serving.drain()

    def draining(self) -> bool:
        return self._stop.is_set()

    async def run(self) -> None:
        """Serves until told to stop. Raises ListenError or CertificateError."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.drain)
        settings = self._loaded.settings
        runtime = await build(settings)
        try:
            serving = self._serving = Serving(settings, runtime, loop)
        except BaseException:
            await runtime.close()
            raise
        try:
            await self._serve(serving, loop, settings)
        finally:
            await serving.close()

    async def _serve(self, serving: Serving, loop: asyncio.AbstractEventLoop, settings: Settings) -> None:
        reloading = Reloading(
            self._loaded,
            again=self._again,
            change=lambda loaded: serving.change(loaded.settings),
            count=serving.runtime.metrics.reloaded,
        )

        def reload() -> None:
            task = loop.create_task(reloading.reload(), name="reload")
            self._reloads.add(task)
            task.add_done_callback(self._reloads.discard)

        told = Told(serving, draining=self.draining)
        sources = told.sources(drain=self.drain, reload=reloading.reload)
        proxy = await serving.listen()
        async with AdminPort(sources, settings.server.admin) as admin:
            loop.add_signal_handler(signal.SIGHUP, reload)
            self._ready(proxy, admin)
            await self._stop.wait()
            await serving.drained(self._now)
