"""Is each endpoint well, asked on our own account?

Asked at once and then at its interval, without a credential, in a task for each endpoint; what follows
from the answers is decided elsewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from proxy.core.failure import APIError
from proxy.core.message import Headers, Request, Whole
from proxy.core.resilience.endpoints import CheckPolicy
from proxy.core.routing import Origin, Route, Timeouts
from proxy.upstream.session import Call, Session

_FIRST_FAILURE = 400
_NAME = ("User-Agent", "leeward-health-check")


class Checks:
    """`told` hears of each endpoint after each check whether it is well."""

    def __init__(
        self, session: Session, routes: Iterable[Route], told: Callable[[Route, Origin, bool], None]
    ) -> None:
        self._session = session
        self._routes = tuple(route for route in routes if route.check is not None)
        self._told = told
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    def start(self) -> None:
        """In the running loop."""
        self._tasks = tuple(
            asyncio.create_task(self._follow(route, origin, route.check), name=f"check {origin.url}")
            for route in self._routes
            for origin in route.origins
            if route.check is not None
        )

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = ()

    async def _follow(self, route: Route, origin: Origin, policy: CheckPolicy) -> None:
        while True:
            self._told(route, origin, await self.well(route, origin, policy))
            await asyncio.sleep(policy.interval)

    async def well(self, route: Route, origin: Origin, policy: CheckPolicy) -> bool:
        """Asks once."""
        seconds = policy.timeout
        named = {name.lower() for name, _ in route.set_headers}
        usual = () if "user-agent" in named else (_NAME,)
        call = Call(
            request=Request(
                method="GET",
                target=policy.path,
                headers=Headers.of(*route.set_headers, *usual),
                body=Whole(),
            ),
            body=Whole(),
            origin=origin,
            timeouts=Timeouts(connect=seconds, attempt=seconds, idle=seconds, total=seconds),
            remaining=seconds,
            tls=route.name,
            resend=True,
        )
        try:
            response = await self._session.send(call)
        except APIError:
            return False
        response.body.close()
        return response.status < _FIRST_FAILURE
