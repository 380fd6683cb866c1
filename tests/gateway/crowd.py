"""Callers in front of a simulated upstream, hours of it in no time: what is asked of whom, and when?"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from proxy.core.exchange import Exchange
from proxy.core.failure import APIError
from proxy.core.message import Headers, Request, Response, Whole
from proxy.core.routing import Origin, Route, Timeouts
from proxy.gateway.resilience import Resilience
from proxy.upstream.attempts import Attempts
from proxy.upstream.session import Call, Session
from tests.core.caching.samples import SECRET, Named
from tests.gateway.hours import LoopClock

Pair = tuple[str, str]


def answer(status: int = 200, *fields: Pair) -> Response:
    return Response(status=status, headers=Headers.of(*fields), body=Whole(b"ok"))


class Upstream:
    """A session that answers by a rule after some seconds, and remembers when it was asked."""

    def __init__(self, rule: Callable[[float], Response | APIError], latency: float = 0.005) -> None:
        self.rule = rule
        self.latency = latency
        self.asked: list[float] = []
        self.under_way = self.most_under_way = 0

    async def send(self, call: Call) -> Response:
        now = asyncio.get_running_loop().time()
        self.asked.append(now)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            said = self.rule(now)
            await asyncio.sleep(self.latency)
        finally:
            self.under_way -= 1
        if isinstance(said, APIError):
            raise said
        return said


class Window:
    """So many a second, then 429 with the whole seconds to the next window."""

    def __init__(self, limit: int, *, exact: bool = False) -> None:
        self.limit = limit
        self.exact = exact
        self.taken: Counter[int] = Counter()
        self.shut: list[tuple[float, float]] = []  # asked for at, until

    def __call__(self, now: float) -> Response:
        self.taken[math.floor(now)] += 1
        if self.taken[math.floor(now)] <= self.limit:
            return answer()
        left = math.floor(now) + 1 - now
        told = left if self.exact else math.ceil(left)
        self.shut.append((now, now + told))
        return answer(429, ("Retry-After", f"{told:.3f}"))


@dataclass
class Told:
    """What one caller got: a status, or the code of a failure; and after how long."""

    what: int | str
    seconds: float
    exchange: Exchange
    failure: APIError | None = None


@dataclass
class Crowd:
    """Callers who ask without regard to the answers. To be made in the loop."""

    upstream: Upstream
    route: Route
    told: list[Told] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = LoopClock()
        self.resilience = Resilience(clock=self.clock, secret=SECRET)
        self.attempts = Attempts(
            session=cast("Session", self.upstream),
            clock=self.clock,
            chance=lambda: 0.5,
            restraint=self.resilience,
        )

    async def ask(
        self, *fields: Pair, method: str = "GET", priority: str | None = None, patient: bool = True
    ) -> Told:
        began = self.clock.now()
        exchange = Exchange(id="1", method=method, target="/a", started=began, at=0.0)
        exchange.priority, exchange.patient = priority, patient
        request = Request(method=method, target="/a/b", headers=Headers.of(*fields), body=Whole())
        failure: APIError | None = None
        what: int | str
        try:
            response = await self.attempts.send(request, self.route, exchange)
            response.body.close()
            what = response.status
        except APIError as error:
            failure, what = error, error.code
        told = Told(what, self.clock.now() - began, exchange, failure)
        self.told.append(told)
        return told

    async def storm(self, callers: int, rate: float, seconds: float) -> None:
        """So many callers, each with so many requests a second."""

        async def caller(number: int) -> None:
            await asyncio.sleep(number / callers / rate)
            async with asyncio.TaskGroup() as group:
                for _ in range(int(rate * seconds)):
                    group.create_task(self.ask())
                    await asyncio.sleep(1 / rate)

        async with asyncio.TaskGroup() as group:
            for number in range(callers):
                group.create_task(caller(number))

    def counted(self) -> Counter[int | str]:
        return Counter(told.what for told in self.told)


def route(**changed: Any) -> Route:
    origin = Origin(scheme="http", host="api.example", port=80)
    timeouts = changed.pop("timeouts", Timeouts())
    return Route(name="api", origins=(origin,), injector=Named("me"), timeouts=timeouts, **changed)
