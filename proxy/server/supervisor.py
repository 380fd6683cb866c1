"""How do several workers start, reload and end as one program?

The law: ready is said once every worker serves and the admin port listens. The supervisor opens all sockets
and closes them last, so that no connection is refused while workers come and go. It forwards no request
itself. SIGTERM, SIGHUP and the admin port mean what they mean to one process alone; when it ends, however
it ends, so do all of its processes.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from proxy import __version__
from proxy.admin.asked import Sources
from proxy.config.loading import Loaded
from proxy.observe import logs
from proxy.observe.merging import figures
from proxy.observe.metrics import Metrics
from proxy.server import cores
from proxy.server.crew import Crew, StartError
from proxy.server.desk import AdminPort
from proxy.server.listening import another, leave, named
from proxy.server.nursery import Nursery
from proxy.server.reloading import RefusedError, Reloading
from proxy.server.serving import LOOK, QUIET

_LOGGER = logging.getLogger("leeward")


class NurseryLostError(Exception):
    """The process that forks workers has ended, and they with it."""


class Supervisor:
    """`rows` are the sockets of each worker, `order` makes what a worker works by of what was loaded."""

    def __init__(
        self,
        loaded: Loaded,
        nursery: Nursery,
        rows: list[list[socket.socket]],
        *,
        order: Callable[[Loaded], Mapping[str, Any]],
        ready: Callable[[str, str], None],
        again: Callable[[], Loaded],
    ) -> None:
        self._loaded = loaded
        self._nursery = nursery
        self._rows = rows
        self._ready = ready
        self._stop = asyncio.Event()
        self._now = asyncio.Event()
        self._metrics = Metrics(__version__)
        self._started = time.monotonic()
        self._crew = Crew(nursery, rows, order=order, restarted=self._metrics.restarted)
        self._reloading = Reloading(
            loaded, again=again, change=self._change, count=self._metrics.reloaded, several=True
        )
        self._tasks: set[asyncio.Task[Any]] = set()

    def drain(self) -> None:
        """Ends the program once nothing runs any more; called again, now."""
        if self._stop.is_set():
            self._now.set()
        self._stop.set()

    async def run(self) -> None:
        """Until told to stop. Raises ListenError, StartError or NurseryLostError."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.drain)
        settings = self._loaded.settings
        logs.configure(level=settings.log.level, layout=settings.log.format)
        self._nursery.watch(loop)
        try:
            await self._crew.replace(self._loaded, len(self._rows), self._rows)
            async with AdminPort(self._sources(), settings.server.admin) as admin:
                loop.add_signal_handler(signal.SIGHUP, self._hung_up)
                own = named(self._rows[0][0], settings.server.listen, tls=settings.server.tls is not None)
                self._ready(own, admin)
                await self._until_stopped()
                self._crew.closing()
                await self._drained()
        finally:
            await self._crew.close()
            await asyncio.to_thread(leave, settings.server.listen)

    async def _until_stopped(self) -> None:
        events = [asyncio.create_task(event.wait()) for event in (self._stop, self._nursery.ended)]
        await asyncio.wait(events, return_when=asyncio.FIRST_COMPLETED)
        for event in events:
            event.cancel()
        if self._nursery.ended.is_set():
            raise NurseryLostError("The process that forks workers has ended, and all workers with it.")

    async def _drained(self) -> None:
        """As one process drains: calls are served until none has come for a moment, in any worker."""
        self._crew.tell("drain")
        with suppress(TimeoutError):
            async with asyncio.timeout(self._loaded.settings.server.drain_timeout):
                quiet, before = 0.0, -1
                while quiet < QUIET and not self._now.is_set():
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._now.wait(), LOOK)
                    busy, answered = await self._crew.calls()
                    quiet = 0.0 if busy or answered != before else quiet + LOOK
                    before = answered

    async def _change(self, loaded: Loaded) -> None:
        count = cores.workers(loaded.settings.server.workers)
        rows = list(self._rows)
        try:
            # Those of fewer workers stay open: the others take the calls that wait there.
            while len(rows) < count:
                rows.append(another(rows[0]))
            await self._crew.replace(loaded, count, rows)
        except (OSError, StartError) as error:
            for own in (own for row in rows[len(self._rows) :] for own in row if own not in self._rows[0]):
                own.close()
            raise RefusedError(str(error)) from error
        self._rows, self._loaded = rows, loaded
        logs.configure(level=loaded.settings.log.level, layout=loaded.settings.log.format)

    def _hung_up(self) -> None:
        task = asyncio.get_running_loop().create_task(self._reloading.reload())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _sources(self) -> Sources:
        gathering = self._crew.gathering

        async def exposition(accept: str) -> tuple[bytes, str]:
            return await gathering.exposition(accept, await figures(self._metrics))

        async def readiness() -> tuple[bool, Mapping[str, Any]]:
            draining, serving = self._stop.is_set(), self._crew.ready
            workers = {"serving": serving, "wanted": self._crew.wanted}
            return not draining and serving > 0, {"draining": draining, "workers": workers}

        async def status() -> Mapping[str, Any]:
            ready, _ = await readiness()
            capacity = {"memory": self._loaded.settings.cache.max_bytes}
            uptime = time.monotonic() - self._started
            told = await gathering.status(uptime=uptime, ready=ready, capacity=capacity)
            return {**told, "workers": self._crew.ready}

        async def reload() -> list[str]:
            if self._stop.is_set():
                return ["It is draining."]
            return await self._reloading.reload()

        return Sources(
            exposition=exposition,
            readiness=readiness,
            status=status,
            requests=gathering.requests,
            cache=gathering.cache,
            purge=gathering.purge,
            explain=gathering.explain,
            drain=self.drain,
            reload=reload,
        )
