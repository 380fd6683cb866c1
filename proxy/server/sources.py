"""What does one process tell the admin port, and do for it?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from proxy import __version__
from proxy.admin.asked import Sources, UnknownUpstreamError
from proxy.admin.status import snapshot
from proxy.admin.stored import shown
from proxy.core.caching.purge import Purge
from proxy.server.serving import Serving


class Told:
    """Asks what runs when it is asked: a reload changes that."""

    def __init__(self, serving: Serving, *, draining: Callable[[], bool]) -> None:
        self._serving = serving
        self._draining = draining
        self._started = serving.runtime.clock.now()

    def sources(self, *, drain: Callable[[], None], reload: Callable[[], Awaitable[list[str]]]) -> Sources:
        return Sources(
            exposition=self.exposition,
            readiness=self.readiness,
            status=self.status,
            requests=self.requests,
            cache=self.cache,
            purge=self.purge,
            explain=self.explain,
            drain=drain,
            reload=reload,
        )

    async def exposition(self, accept: str) -> tuple[bytes, str]:
        self._serving.app.tell()
        return self._serving.runtime.metrics.exposition(accept)

    async def readiness(self) -> tuple[bool, Mapping[str, Any]]:
        detail: dict[str, Any] = {"draining": self._draining()}
        opened = self._serving.runtime.opened
        if opened.lasting:
            detail["cache"] = {"store": opened.name, "trouble": opened.trouble}
        return not self._draining(), detail

    async def status(self) -> Mapping[str, Any]:
        runtime, cache = self._serving.runtime, self._serving.settings.cache
        self._serving.app.tell()
        return snapshot(
            version=__version__,
            uptime=runtime.clock.now() - self._started,
            ready=not self._draining(),
            metrics=runtime.metrics,
            recent=runtime.recent,
            upstreams=self._routes(),
            capacity={runtime.opened.name: cache.max_bytes, "idempotency": cache.max_idempotency_bytes},
        )

    async def requests(self, limit: int) -> list[dict[str, Any]]:
        self._serving.app.tell()
        return self._serving.runtime.recent.latest(limit)

    async def cache(self, what: Purge, limit: int) -> list[dict[str, Any]]:
        runtime = self._serving.runtime
        found = await runtime.opened.store.kept(self._known(what), limit)
        now = runtime.clock.now()
        return [shown(kept, now, runtime.mask) for kept in found]

    async def purge(self, what: Purge) -> int:
        return await self._serving.runtime.caching.purge(self._known(what))

    async def explain(self, method: str, target: str) -> Mapping[str, Any]:
        return await self._serving.runtime.explain(method, target)

    def _routes(self) -> dict[str, dict[str, str]]:
        return {
            route.name: {
                "url": route.origins[0].url,
                "prefix": route.prefix or "/",
                "credential": route.injector.describe(),
            }
            for route in self._serving.runtime.table.routes
        }

    def _known(self, what: Purge) -> Purge:
        if what.upstream is not None and what.upstream not in self._routes():
            raise UnknownUpstreamError(what.upstream)
        return what
