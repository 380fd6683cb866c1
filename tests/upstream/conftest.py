"""What do the tests of the way out stand on? Real connections to the scripted origin."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import uvloop

from proxy.core.exchange import Attempt, Exchange
from proxy.core.failure import APIError
from proxy.core.message import Body, Headers, Interim, Request, Response, Whole
from proxy.core.resilience.retry import RetryPolicy
from proxy.core.routing import Origin as Base
from proxy.core.routing import Route, Timeouts
from proxy.upstream.attempts import Attempts
from proxy.upstream.session import Session
from tests.origin import Origin

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
HEAD = b"HTTP/1.1 200 OK\r\n"
ONCE = {"attempts": 1}


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Transports differ: what leans on them runs on both."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


class Steady:
    """The real clocks."""

    def now(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()


@dataclass
class Stamp:
    """An injector that numbers what it is asked for."""

    failure: APIError | None = None
    count: int = 0
    replaced: frozenset[str] = frozenset()

    def describe(self) -> str:
        return "a stamp"

    def identity(self) -> str:
        return "stamp"

    async def inject(self, request: Request, origin: Base) -> Request:
        if self.failure is not None:
            raise self.failure
        self.count += 1
        return replace(request, headers=request.headers.plus(("X-Stamp", str(self.count))))

    def mask(self, text: str) -> str:
        return text


@dataclass
class Watcher:
    """An observer that remembers."""

    seen: list[Attempt] = field(default_factory=list)

    def opened(self, exchange: Exchange) -> None: ...

    def attempted(self, exchange: Exchange, attempt: Attempt) -> None:
        self.seen.append(attempt)

    def repeated(self, hits: Any) -> None: ...

    def passed(self, passes: Any) -> None: ...

    def closed(self, exchange: Exchange) -> None: ...


class Pieces:
    """A request body in pieces; an exception among them is raised."""

    def __init__(self, *pieces: bytes | BaseException, length: int | None = None) -> None:
        self.left = list(pieces)
        self.length = length
        self.pulled = 0

    async def read(self) -> bytes:
        if not self.left:
            return b""
        piece = self.left.pop(0)
        if isinstance(piece, BaseException):
            raise piece
        self.pulled += 1
        return piece

    def close(self) -> None:
        self.left.clear()


class Endless:
    """A caller that never stops sending."""

    length = None
    pulled = 0

    async def read(self) -> bytes:
        self.pulled += 65536
        await asyncio.sleep(0)
        return bytes(65536)

    def close(self) -> None: ...


async def whole(response: Response) -> bytes:
    data = bytearray()
    while piece := await response.body.read():
        data += piece
    return bytes(data)


@dataclass
class Got:
    """What came of one request."""

    exchange: Exchange
    response: Response | None = None
    body: bytes = b""
    failure: APIError | None = None

    @property
    def status(self) -> int:
        assert self.response is not None, repr(self.failure)
        return self.response.status

    @property
    def headers(self) -> Headers:
        assert self.response is not None, repr(self.failure)
        return self.response.headers

    @property
    def told(self) -> list[tuple[str, str | None]]:
        """(outcome, reason) of each attempt."""
        return [(a.outcome, a.reason and a.reason.value) for a in self.exchange.attempts]


QUICK = RetryPolicy(initial=0.001, max_wait=0.002)


class Way:
    """The way out to one origin; waits between attempts are short, times long."""

    def __init__(self, origin: Origin, session: Session) -> None:
        self.origin = origin
        self.session = session
        self.watcher = Watcher()
        self.stamp = Stamp()
        self.attempts = Attempts(
            session=session, clock=Steady(), chance=random.random, observers=[self.watcher]
        )
        base = Base(scheme="http", host="127.0.0.1", port=origin.port)
        self.route = Route(
            name="api", origins=(base,), injector=self.stamp, retry=QUICK, timeouts=Timeouts(attempt=10)
        )

    def changed(
        self, retry: Mapping[str, Any] | None = None, timeouts: Mapping[str, Any] | None = None, **route: Any
    ) -> Route:
        return replace(
            self.route,
            retry=replace(self.route.retry, **(retry or {})),
            timeouts=replace(self.route.timeouts, **(timeouts or {})),
            **route,
        )

    async def open(
        self,
        method: str = "GET",
        target: str = "/x",
        *headers: tuple[str, str],
        body: Body | bytes = b"",
        interim: Callable[[Interim], None] | None = None,
        **changed: Any,
    ) -> Got:
        """The head, or the failure."""
        exchange = Exchange(id="1", method=method, target=target, started=0.0, at=0.0)
        source = Whole(body) if isinstance(body, bytes) else body
        request = Request(
            method=method, target=target, headers=Headers.of(*headers), body=source, interim=interim
        )
        got = Got(exchange)
        try:
            got.response = await self.attempts.send(request, self.changed(**changed), exchange)
        except APIError as failure:
            got.failure = failure
        return got

    async def ask(self, *args: Any, **named: Any) -> Got:
        """The whole answer, or the failure; a body that breaks off leaves both."""
        got = await self.open(*args, **named)
        if got.response is not None:
            body = got.response.body
            try:
                while piece := await body.read():
                    got.body += piece
            except APIError as failure:
                got.failure = failure
            finally:
                body.close()
        return got

    @property
    def counts(self) -> tuple[int, int]:
        return self.session.counts()


@pytest.fixture
async def way(origin: Origin) -> AsyncIterator[Way]:
    session = Session()
    yield Way(origin, session)
    used, _ = session.counts()
    await session.close()
    assert used == 0, "a connection was neither released nor closed"
