"""What does a bad day of an API look like? The demo's upstream: slow, limited, and failing by the clock.

It is a real HTTP server on loopback. Its moods come from a seeded generator, so two of them that are
asked the same in the same order behave much alike; each counts what it was asked.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from dataclasses import dataclass, field

from aiohttp import web

TOKEN = "demo-token"  # noqa: S105  (nobody's secret: it opens this toy alone)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mood:
    """How bad the day is. Latency in seconds, shares in 0..1, `rate` in requests a second."""

    latency: tuple[float, float] = (0.08, 0.3)
    unavailable: float = 0.2
    dropped: float = 0.04
    rate: int = 36


@dataclass(slots=True)
class Flaky:
    """One such API. `asked` counts requests, `answered` its answers by status; a drop counts as 0."""

    mood: Mood = field(default_factory=Mood)
    seed: int = 7
    asked: int = 0
    answered: Counter[int] = field(default_factory=Counter)
    port: int = 0
    _chance: random.Random = field(init=False)
    _recent: deque[float] = field(init=False, default_factory=deque)
    _runner: web.AppRunner | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)  # noqa: S311  (weather, not cryptography)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listens on a free port of loopback."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked += 1
        response = await self._mooded(request)
        dropped = request.transport is None or request.transport.is_closing()
        self.answered[0 if dropped else response.status] += 1
        return response

    async def _mooded(self, request: web.Request) -> web.Response:
        final = _final(request)
        if final is None and self._over_limit():
            error = {"message": "Too many requests: slow down.", "type": "rate_limit_error"}
            return web.json_response({"error": error}, status=429, headers={"Retry-After": "1"})
        fate = self._chance.random()
        await asyncio.sleep(self._chance.uniform(*self.mood.latency))
        if final is not None:
            return final
        if fate < self.mood.dropped:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=503)  # reaches nobody
        if fate < self.mood.dropped + self.mood.unavailable:
            return web.json_response({"fault": "backend pool exhausted"}, status=503)
        return _page(request.path)

    def _over_limit(self) -> bool:
        now = asyncio.get_running_loop().time()
        while self._recent and self._recent[0] <= now - 1.0:
            self._recent.popleft()
        if len(self._recent) >= self.mood.rate:
            return True
        self._recent.append(now)
        return False


def _final(request: web.Request) -> web.Response | None:
    """The error that this request gets on a good day too; None where it deserves an answer."""
    if request.headers.get("Authorization") != f"Bearer {TOKEN}":
        return web.json_response({"error": {"message": "Who are you?"}}, status=401)
    if request.method == "POST":
        error = {"message": "The ledger failed after the charge.", "code": "ledger_write"}
        return web.json_response({"errors": [error]}, status=500)
    if request.path.endswith("/missing"):
        error = {"message": "No such user", "code": "resource_missing"}
        return web.json_response({"error": error}, status=404)
    return None


def _page(path: str) -> web.Response:
    kind, _, name = path.strip("/").partition("/")
    kept = {"products": "max-age=30", "rates": "max-age=1"}.get(kind, "no-store")
    body = {"kind": kind, "name": name, "price": 1299, "text": "x" * 600}
    return web.json_response(body, headers={"Cache-Control": kept})
