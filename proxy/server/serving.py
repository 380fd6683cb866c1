"""How does one process serve the proxy's port, go over to another configuration, and stop?

The law: a request is answered by the configuration that was in force when it came, however long it takes;
what belonged to that one ends with its last request. While draining, new calls are still served until
nothing runs any more.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import suppress

from proxy.config.certificates import CertificateError, certified_caller_side, for_callers
from proxy.config.following import follow
from proxy.config.settings import Settings
from proxy.observe.logs import MOST_BODY
from proxy.server.app import ProxyApp
from proxy.server.connections import Connections
from proxy.server.listening import BACKLOG, bound, leave, listen
from proxy.upstream.templates import Expresses
from proxy.wiring import Runtime, build

_LOGGER = logging.getLogger("leeward")
QUIET = 0.25  # seconds without a request after which a draining process takes the calls to be over
_LATE = 0.25  # seconds between two looks for a store that was not there
LOOK = 0.05  # seconds between two looks at what is still running


class Serving:
    """One process's side of the port. `runtime` is what answers now."""

    def __init__(self, settings: Settings, runtime: Runtime, loop: asyncio.AbstractEventLoop) -> None:
        """Raises CertificateError."""
        self._certified = None if settings.server.tls is None else certified_caller_side(settings.server.tls)
        self._tls = None if self._certified is None else self._certified.context
        self.settings = settings
        self.runtime = runtime
        self.app = _app(settings, runtime)
        self.connections = Connections(self.app, loop)
        self._loop = loop
        self._servers: dict[int, asyncio.Server] = {}
        self._address = settings.server.listen
        self._made = False
        self._before: set[asyncio.Task[None]] = set()
        self._one = asyncio.Lock()
        self._late: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._follow()
        self._renewing = loop.create_task(self._renew(), name="upstreams' certificates")
        if runtime.opened.lasting:
            self._late = loop.create_task(self._adopt(), name="late store")

    async def listen(self) -> str:
        """Makes the socket that the settings name; the address that it got. Raises ListenError."""
        server = await listen(self.connections, self._address, tls=self._tls)
        self._servers[-1] = server
        self._made = True
        return bound(server, self._address, tls=self._tls is not None)

    async def accept(self, sockets: dict[int, socket.socket]) -> None:
        """Takes calls on these sockets and no others; each by a number of its own."""
        for number in self._servers.keys() - sockets.keys():
            self._servers.pop(number).close()
        for number in sockets.keys() - self._servers.keys():
            # A copy, because closing a server closes its socket.
            copy = sockets[number].dup()
            if copy.family == socket.AF_UNIX:
                self._servers[number] = await self._loop.create_unix_server(
                    self.connections, sock=copy, ssl=self._tls, backlog=BACKLOG
                )
            else:
                self._servers[number] = await self._loop.create_server(
                    self.connections, sock=copy, ssl=self._tls, backlog=BACKLOG
                )

    async def change(self, settings: Settings) -> None:
        """Goes over to other settings. Raises CertificateError, and then nothing has changed."""
        async with self._one:
            await self._change(settings)

    async def _change(self, settings: Settings) -> None:
        if settings.server.tls is not None:
            await asyncio.to_thread(for_callers, settings.server.tls)
        earlier, runtime = self.app, self.runtime
        self.runtime = await build(settings, runtime)
        if self._tls is not None and settings.server.tls is not None:
            # For the connections to come; the sockets know this very object.
            self._certified = certified_caller_side(settings.server.tls, self._tls)
            self._certified.renew()
            self._follow()
        self.settings = settings
        self.app = self.connections.app = _app(settings, self.runtime)
        self.app.earlier = earlier.answered
        self.app.draining = earlier.draining
        ending = asyncio.create_task(_ended(earlier, runtime), name="earlier configuration")
        self._before.add(ending)
        ending.add_done_callback(self._before.discard)

    def _follow(self) -> None:
        """Watches the certificate that callers are shown."""
        if self._watch is not None:
            self._watch.cancel()
        if self._certified is not None:
            self._watch = self._loop.create_task(follow((), (self._certified,)), name="certificate")

    async def _renew(self) -> None:
        """Goes over to certificates that upstreams are to be shown from now on.

        As in a reload: another one is another identity; what is stored, and pooled, was the earlier one's.
        """
        renewed = self.runtime.renewed
        while True:
            await renewed.wait()
            renewed.clear()
            try:
                async with self._one:
                    await self._change(self.settings)
            except CertificateError as error:
                _LOGGER.warning("The certificate from before is used further: %s", error)

    async def _adopt(self) -> None:
        """The names to go by are those of the store, which may come late, or lose its data and get others."""
        known = self.runtime.salt
        while True:
            await asyncio.sleep(_LATE)
            salt = self.runtime.opened.salt
            if salt is None or salt == known:
                continue
            try:
                async with self._one:  # a reload may be under way
                    await self._change(self.settings)
            except CertificateError:
                continue  # whoever follows the files says so
            known = salt
            if self.runtime.salt != salt:
                _LOGGER.warning("The store has names of its own; what is in it is found after a restart")

    def drain(self) -> None:
        """Connections are closed after their next answer, WebSockets with a Close now."""
        self.app.draining = True
        self.connections.leave()

    @property
    def busy(self) -> bool:
        return self.connections.busy() > 0

    async def drained(self, now: asyncio.Event) -> None:
        """Until nothing has run for a moment, the time is over, or somebody says now."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self.settings.server.drain_timeout):
                quiet, answered = 0.0, self.app.answered
                while quiet < QUIET and not now.is_set():
                    with suppress(TimeoutError):
                        await asyncio.wait_for(now.wait(), LOOK)
                    idle = not self.busy and self.app.answered == answered
                    quiet = quiet + LOOK if idle else 0.0
                    answered = self.app.answered

    async def left(self, now: asyncio.Event) -> None:
        """Until every caller has left, or the time is over; from `now` on, idle callers are not waited for.

        For a process that takes no calls any more, while others do: a caller whose connection is idle
        gets an answer on it still, and goes to another process after that.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(self.settings.server.drain_timeout):
                # A call that was taken from the socket a moment ago is not known as a connection yet.
                await asyncio.sleep(LOOK)
                while self.busy or (self.connections.open and not now.is_set()):  # noqa: ASYNC110 - ends cost no event
                    await asyncio.sleep(LOOK)

    async def close(self) -> None:
        """Ends everything, whatever still runs."""
        for server in self._servers.values():
            server.close()
        self._servers.clear()
        if self._made:
            await asyncio.to_thread(leave, self._address)
        self.connections.close(idle_only=False)
        self.app.tell()
        watching = (self._late, self._watch, self._renewing)
        ending = [*self._before, *(task for task in watching if task is not None)]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        await self.runtime.close()
        await self.runtime.opened.close()


async def _ended(app: ProxyApp, runtime: Runtime) -> None:
    """Ends what an earlier configuration used, with the last request that it answers."""
    grace = 0.0
    try:
        await app.over()
        # What it still fetches for the store is as good as before.
        grace = app.idle_timeout
    finally:
        await runtime.close(grace)


def _app(settings: Settings, runtime: Runtime) -> ProxyApp:
    server = settings.server
    app = ProxyApp(
        pipeline=runtime.pipeline,
        observers=runtime.observers,
        clock=runtime.clock,
        bug=runtime.bug,
        client_token=server.client_token,
        max_request_body=server.max_request_body,
        header_timeout=server.header_timeout,
        idle_timeout=server.idle_timeout,
        scheme="http" if server.tls is None else "https",
        keep=MOST_BODY if settings.log.bodies and settings.log.level == "debug" else 0,
        sample=settings.tracing.share(),
        # The debug log tells the headers of each request.
        expresses=Expresses(runtime.upstream),
        fast_path=server.fast_path and settings.log.level != "debug",
    )
    if app.shortcuts is not None:
        runtime.metrics.watch_passing(app.shortcuts.under_way)
    return app
