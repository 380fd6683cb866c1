"""A request that goes out without a task, and somebody who writes down what comes of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from proxy.core.exchange import Exchange
from proxy.core.message import Headers, Request, Response, Whole
from proxy.core.routing import Origin as Base
from proxy.core.routing import Route
from proxy.upstream.express import Express, Template
from proxy.upstream.plain import Plain
from proxy.upstream.templates import Expresses
from tests.origin import Gate, Origin, Script
from tests.upstream.conftest import OK, Way

SECRET = "s3cret-of-the-route"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OTHER_TRACE = "00-11111111111111111111111111111111-2222222222222222-01"


class Token:
    """A steady injector whose secret a test changes."""

    replaced = frozenset({"authorization"})

    def __init__(self, secret: str = SECRET, *, steady: bool = True) -> None:
        self.secret = secret
        self.same = steady

    def describe(self) -> str:
        return "a token"

    def identity(self) -> str:
        return f"identity of {hash(self.secret)}"

    def steady(self) -> bool:
        return self.same

    async def inject(self, request: Request, origin: Base) -> Request:
        return replace(request, headers=request.headers.plus(("Authorization", f"Bearer {self.secret}")))

    def mask(self, text: str) -> str:
        return text


class Rider:
    """Wants all or nothing; `told` is set when anything has come of it."""

    def __init__(self, *, wanting: bool = True) -> None:
        self.wanting = wanting
        self.seen: list[str] = []
        self.answer: Plain | None = None
        self.body = b""
        self.response: Response | None = None
        self.told = asyncio.Event()

    def wants(self, answer: Plain) -> bool:
        self.seen.append("wants")
        return self.wanting

    def gets(self, answer: Plain, body: bytes) -> None:
        self.seen.append("gets")
        self.answer, self.body = answer, body
        self.told.set()

    def reads(self, answer: Plain, response: Response) -> None:
        self.seen.append("reads")
        self.answer, self.response = answer, response
        self.told.set()

    def missed(self) -> None:
        self.seen.append("missed")
        self.told.set()


def asked(*fields: tuple[str, str], target: str = "/x", **changes: Any) -> Request:
    """As it leaves the pipeline."""
    named = (("X-Request-Id", "one"), ("traceparent", TRACE), ("Via", "1.1 leeward"))
    request = Request(method="GET", target=target, headers=Headers.of(*named, *fields), body=Whole())
    return replace(request, **changes)


class Riding:
    """One origin, one route to it, and `idle` connections on which nothing is under way."""

    def __init__(self, way: Way, **changed: Any) -> None:
        self.way = way
        self.token = Token()
        self.route: Route = way.changed(**{"injector": self.token, **changed})
        self.expresses = Expresses(way.attempts)
        self.request = asked()

    @property
    def origin(self) -> Origin:
        return self.way.origin

    def on(self) -> Script:
        return self.origin.on("/x")

    async def warm(self, idle: int = 1) -> Template:
        """So many idle connections, and how the request goes out on one of them."""
        gates = [Gate() for _ in range(idle)]
        script = self.origin.on("/warm")
        for gate in gates:
            script.raw(gate, OK)
        asking = [asyncio.create_task(self.way.ask("GET", "/warm", injector=self.token)) for _ in gates]
        for gate in gates:
            await asyncio.to_thread(gate.reached.wait)
        for gate in gates:
            gate.open()
        await asyncio.gather(*asking)
        template = await self.expresses.template(self.request, self.route, request_id="one", traceparent="")
        assert template is not None
        assert self.way.counts == (0, idle)
        return template

    def send(self, template: Template, rider: Rider, name: bytes = b"two") -> Express:
        since = self.way.attempts.clock.now()
        express = self.expresses.send(template, name, OTHER_TRACE.encode(), since, rider)
        assert express is not None
        return express

    async def sent(self, **named: Any) -> tuple[Express, Rider]:
        """One that is under way."""
        rider = Rider(**named)
        return self.send(await self.warm(), rider), rider

    async def take_over(self, express: Express, **changed: Any) -> tuple[Response, Exchange]:
        """The long way, for the request that went out. Raises APIError."""
        exchange = Exchange(id="two", method="GET", target="/x", started=0.0, at=0.0)
        exchange.begun = express
        fields = {"x-request-id": "two", "traceparent": OTHER_TRACE}
        headers = Headers.of(
            *((name, fields.get(name.lower(), value)) for name, value in _pairs(self.request))
        )
        request = replace(self.request, headers=headers)
        route = replace(self.route, **changed)
        return await self.way.attempts.send(request, route, exchange), exchange

    def hits(self) -> list[bytes]:
        """The heads that came for it."""
        return [hit.raw_head for hit in self.origin.hits("/x")]


def _pairs(request: Request) -> list[tuple[str, str]]:
    return [(name.decode(), value.decode()) for name, value in request.headers.fields]


async def told(rider: Rider) -> list[str]:
    async with asyncio.timeout(10):
        await rider.told.wait()
    return rider.seen


async def full(express: Express) -> None:
    """Until its upstream is made to wait."""
    async with asyncio.timeout(20):
        while express.wire.transport is None or express.wire.transport.is_reading():  # noqa: ASYNC110 - nor does it
            await asyncio.sleep(0)


async def ended(express: Express) -> None:
    """Until the loop has told the wire of its end."""
    async with asyncio.timeout(20):
        while not express.wire._connection_lost_called:  # noqa: ASYNC110 - nor does it
            await asyncio.sleep(0)
