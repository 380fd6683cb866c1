"""How is Redis asked, so that a slow or dead one costs a request next to nothing?

The law: a call waits `timeout` at most, and then there is no answer. What fails or is slow counts against
the server; too much of it opens the link's own breaker, and from then on a call fails at once, without
waiting. Callers never try whether it is back: a task of the link does, and closes the breaker when the
server answers in good time and all that has to be caught up with is. Calls at a time have a bound, and those
that come meanwhile share one round trip.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import field
from typing import Any

from proxy.core.ports import Clock
from proxy.core.resilience import breaker
from proxy.core.resilience.breaker import BreakerPolicy, Circuit, Closed, News, Open
from proxy.core.resilience.passage import Refuse
from proxy.core.value import dataclass
from proxy.stores.health import Health
from proxy.stores.redis.clients import Client, Command, LostError

POLICY = BreakerPolicy(failure_ratio=0.5, min_requests=5, window=10.0, open_for=0.5)
TIMEOUT = 0.25  # seconds
SLOW = 0.05  # seconds
_HEARTBEAT = 1.0  # seconds between two looks at whether it lives, while nobody else asks
_MOST_WAITING = 2000  # calls
_MOST_AT_ONCE = 32  # calls that share a round trip


@dataclass(slots=True, eq=False)
class _Call:
    steps: Sequence[Sequence[Command]]
    answer: asyncio.Future[list[Any]] = field(repr=False)


class Link:
    """The way to one Redis. `health` is told when it is lost and when it is back; `on_fault` of each fault.

    `probe` is what it has to answer to count as alive. Each of `caught_up` is awaited before the link counts
    as up: it may ask `directly`, and raises LostError where it could not do its work.
    """

    def __init__(
        self,
        client: Client,
        clock: Clock,
        *,
        health: Health,
        on_fault: Callable[[str], None] = lambda _reason: None,
        lanes: int = 8,
        timeout: float = TIMEOUT,
        slow: float = SLOW,
        policy: BreakerPolicy = POLICY,
        probe: Command = ("PING",),
    ) -> None:
        self._client = client
        self._clock = clock
        self._health = health
        self._on_fault = on_fault
        self._timeout = timeout
        self._slow = slow
        self._policy = policy
        self._signs = [probe]  # of life
        self._circuit: Circuit = Open(era=0, until=clock.now())
        self._waiting: deque[_Call] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._free = lanes
        self._watch: asyncio.Task[None] | None = None
        self._closed = False
        self._lost = asyncio.Event()
        self.caught_up: list[Callable[[], Awaitable[None]]] = []
        self.why = ""

    @property
    def up(self) -> bool:
        """Whether calls are let through."""
        return isinstance(self._circuit, Closed)

    async def open(self, patience: float) -> None:
        """Tries for so many seconds, and goes on trying afterwards."""
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._probe()
        if not self.up:
            self._say_lost(self.why or "it does not answer in time")
        self._watch = asyncio.create_task(self._watched(), name="redis")

    async def close(self) -> None:
        self._closed = True  # the library may lose a cancellation
        tasks = [*self._running, *([self._watch] if self._watch is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        _fail(self._waiting, "the link is closed")
        self._waiting.clear()
        await self._client.close()

    async def ask(self, *steps: Sequence[Command], patience: float | None = None) -> list[Any]:
        """All replies; no command of a step before all of the step before. Raises LostError.

        A command that was refused has its ResponseError in place of a reply. `patience` is in seconds.
        """
        if not self.up:
            raise LostError(self.why)
        return await self._ask(steps, patience or self._timeout)

    async def _ask(self, steps: Sequence[Sequence[Command]], patience: float) -> list[Any]:
        if len(self._waiting) >= _MOST_WAITING:
            raise LostError("too many calls wait for it")
        call = _Call(steps, asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        if self._free:
            self._free -= 1
            task = asyncio.create_task(self._lane(), name="redis lane")
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        era = self._circuit.era
        began = self._clock.now()
        try:
            async with asyncio.timeout(patience):
                replies = await call.answer
        except TimeoutError:
            self._report(News.FAULT, era, "it does not answer in time")
            raise LostError("it does not answer in time") from None
        except LostError as lost:
            self._report(News.FAULT, era, str(lost))
            raise
        late = patience <= self._timeout and self._clock.now() - began > self._slow
        self._report(News.FAULT if late else News.ALIVE, era, "it answers too slowly")
        return replies

    async def _lane(self) -> None:
        """Brings what waits to the server until nothing does."""
        try:
            while self._waiting:
                calls = self._next()
                if calls:
                    await self._carry(calls)
        finally:
            self._free += 1

    async def _carry(self, calls: Sequence[_Call]) -> None:
        try:
            replies = iter(await self._carried(calls))
        except LostError as lost:
            _fail(calls, str(lost))
        except BaseException:
            _fail(calls, "the call was given up")
            raise
        else:
            for call in calls:
                own = [next(replies) for step in call.steps for _ in step]
                if not call.answer.done():
                    call.answer.set_result(own)

    async def _carried(self, calls: Sequence[_Call]) -> list[Any]:
        if len(calls) == 1:
            return await self._client.together(calls[0].steps)
        return await self._client.run([one for call in calls for step in call.steps for one in step])

    def _next(self) -> list[_Call]:
        """Those that share the next round trip: several of one step, or one of several."""
        calls: list[_Call] = []
        while self._waiting and len(calls) < _MOST_AT_ONCE:
            call = self._waiting[0]
            if calls and len(call.steps) > 1:
                break
            self._waiting.popleft()
            if call.answer.done():
                continue  # nobody waits for it any more
            calls.append(call)
            if len(call.steps) > 1:
                break
        return calls

    def _report(self, news: News, era: int, why: str) -> None:
        was_up = self.up
        if news is News.FAULT:
            self._on_fault("unreachable")
        self._circuit = breaker.report(self._policy, self._circuit, news, self._clock.now(), era=era)
        if was_up and not self.up:
            self._say_lost(why)

    def _say_lost(self, why: str) -> None:
        self.why = why
        self._health.failed("unreachable", why)
        self._lost.set()
        _fail(self._waiting, why)
        self._waiting.clear()

    async def _watched(self) -> None:
        while not self._closed:
            if self.up:
                self._lost.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._lost.wait(), _HEARTBEAT)
                with suppress(LostError):
                    await self.ask(self._signs)
            else:
                await asyncio.sleep(self._policy.open_for)
                await self._probe()

    async def _probe(self) -> None:
        """Whether it is back: it has to answer in good time, and what was missed to be caught up with."""
        permitted, self._circuit = breaker.permit(self._policy, self._circuit, self._clock.now())
        if isinstance(permitted, Refuse):
            return
        era = self._circuit.era
        try:
            await self._client.run(self._signs)  # the connection's making takes longer
            again = self._clock.now()
            await self._client.run(self._signs)
            if self._clock.now() - again > self._slow:
                raise LostError("it answers too slowly")
            for catch_up in self.caught_up:
                await catch_up()
        except LostError as lost:
            self.why = str(lost)
            self._report(News.FAULT, era, self.why)
            return
        except BaseException:
            self._report(News.FAULT, era, "")
            raise
        self._report(News.ALIVE, era, "")
        if self.up:
            self.why = ""
            self._health.worked()

    async def directly(self, *steps: Sequence[Command], patience: float | None = None) -> list[Any]:
        """As `ask`, for what is caught up with before the link is up."""
        try:
            async with asyncio.timeout(patience or self._timeout):
                return await self._client.together(steps)
        except TimeoutError:
            raise LostError("it does not answer in time") from None


def _fail(calls: Iterable[_Call], why: str) -> None:
    for call in calls:
        if not call.answer.done():
            call.answer.set_exception(LostError(why))
            call.answer.exception()  # who asked may have gone
