"""A gateway's surroundings that do what a test says: a clock, an origin, bodies that come when let."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from proxy.core.exchange import Attempt, Exchange
from proxy.core.failure import APIError
from proxy.core.message import Body, Request, Response, Whole
from proxy.core.routing import Route
from proxy.gateway.caching import Caching
from proxy.gateway.refresh import Refresh
from proxy.stores.memory import MemoryStore
from tests.core.caching.samples import SECRET, WALL, Pair, request, response, route

FRESH = ("Cache-Control", "max-age=60")


class Hands:
    """A Clock whose hands are turned."""

    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time

    def wall(self) -> float:
        return WALL + self.time - 1000.0


class Pipe:
    """A Body that gives what is put into it; None ends it, an APIError breaks it."""

    def __init__(self, *pieces: bytes | APIError | None, length: int | None = None) -> None:
        self.length = length
        self.closed = False
        self.given = 0
        self._queue: asyncio.Queue[bytes | APIError | None] = asyncio.Queue()
        self.put(*pieces)

    def put(self, *pieces: bytes | APIError | None) -> None:
        for piece in pieces:
            self._queue.put_nowait(piece)

    async def read(self) -> bytes:
        piece = await self._queue.get()
        if isinstance(piece, APIError):
            raise piece
        if piece is None:
            self.put(None)
            return b""
        self.given += 1
        return piece

    def close(self) -> None:
        self.closed = True


class Pliable(MemoryStore):
    """A store whose methods a test may replace."""


Got = tuple[Response, bytes]
Reply = Response | APIError | BaseException
Script = Reply | Callable[[Request], Awaitable[Reply]]


class Stage:
    """A cache between callers and a scripted origin. `asked` is what reached the origin."""

    def __init__(self, on: Route | None = None, *, max_filling: int = 1 << 26) -> None:
        self.route = on or route()
        self.clock = Hands()
        self.errors: list[BaseException] = []
        self.refresh = Refresh(on_error=self.errors.append)
        self.evicted: list[str] = []
        self.store = Pliable(max_bytes=1 << 24, max_entry_bytes=1 << 23, on_evict=self.evicted.append)
        self.caching = Caching(
            store=self.store,
            clock=self.clock,
            refresh=self.refresh,
            secret_key=SECRET,
            max_filling=max_filling,
            peek=self.store.peek,
        )
        self.asked: list[Request] = []
        self.script: deque[Script] = deque()
        self.gate: asyncio.Event | None = None
        self.exchanges: list[Exchange] = []

    async def origin(self, wanted: Request) -> Response:
        self.asked.append(wanted)
        scripted = self.script.popleft()
        if self.gate is not None:
            await self.gate.wait()
        reply = await scripted(wanted) if callable(scripted) else scripted
        if isinstance(reply, BaseException):
            raise reply
        return reply

    async def ask(
        self, wanted: Request, on: Route | None = None, *, deadline: float | None = None
    ) -> tuple[Response, Exchange]:
        exchange = Exchange(id="x", method=wanted.method, target=wanted.path, started=self.clock.time, at=0)
        exchange.deadline = deadline
        self.exchanges.append(exchange)

        async def fetch(sent: Request, record: Exchange) -> Response:
            record.attempts.append(Attempt(started=self.clock.time))
            return await self.origin(sent)

        return await self.caching.answer(wanted, on or self.route, exchange, fetch), exchange

    async def get(self, wanted: Request, on: Route | None = None) -> tuple[Response, bytes]:
        """The answer and its whole body."""
        answer, _ = await self.ask(wanted, on)
        return answer, await whole(answer.body)


async def whole(body: Body) -> bytes:
    pieces = []
    while piece := await body.read():
        pieces.append(piece)
    body.close()
    return b"".join(pieces)


async def settle() -> None:
    """Lets everything run that can run."""
    for _ in range(20):
        await asyncio.sleep(0)


def told(answer: Response) -> str:
    """The last Cache-Status line."""
    return answer.headers.all("cache-status")[-1]


def fresh(*fields: Pair, body: Body | bytes = b"body", status: int = 200) -> Response:
    content = Whole(body) if isinstance(body, bytes) else body
    return response(FRESH, *fields, status=status, body=content)


async def callers(stage: Stage, count: int, *asked: Request) -> list[asyncio.Task[Got]]:
    """So many callers, all waiting for the first one's answer."""
    wanted = asked or (request(),)
    stage.gate = stage.gate or asyncio.Event()
    tasks = [asyncio.create_task(stage.get(wanted[n % len(wanted)])) for n in range(count)]
    await settle()
    return tasks


def go(stage: Stage) -> None:
    assert stage.gate is not None
    stage.gate.set()


async def quiet(stage: Stage, tasks: int) -> None:
    """Nothing is left running, waiting or held."""
    await settle()
    assert len(asyncio.all_tasks()) == tasks
    assert len(stage.refresh) == 0
    assert len(stage.caching._flights) == 0
    assert stage.caching._fetching._allowance.held == 0
    assert stage.errors == []
