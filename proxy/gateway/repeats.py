"""What becomes of a request that comes again with the same Idempotency-Key?

The first one goes upstream, in a task of its own, so that its answer is kept although its caller leaves:
that is when it is asked for again. Its twins wait for it, then are told the same; where it brought nothing
that is kept, the next of them goes. What is the same and what is kept `core` decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from hashlib import blake2b

from proxy.core.allowance import Allowance
from proxy.core.exchange import Exchange, Verdict
from proxy.core.failure import APIError, DeadlineExceededError, InvalidRequestError, of_status
from proxy.core.message import Body, Request, Response, Whole
from proxy.core.ports import Clock, Receipts
from proxy.core.reason import Reason
from proxy.core.resilience import deadline, receipt
from proxy.core.resilience.receipt import Receipt
from proxy.core.routing import Route
from proxy.gateway.fill import Fill
from proxy.gateway.refresh import Refresh

Through = Callable[[Request], Awaitable[Response]]


class Repeats:
    """The step before the cache. `secret` is random, 16 to 64 bytes, and as long-lived as what is kept.

    `max_answer` bounds, in bytes, one answer that is kept; `max_filling` all that are on their way.
    """

    def __init__(
        self,
        *,
        receipts: Receipts,
        clock: Clock,
        refresh: Refresh,
        secret: bytes,
        max_answer: int,
        max_filling: int = 64 * 1024 * 1024,
        turns: dict[bytes, Turn] | None = None,
    ) -> None:
        """`turns` are those of a step that this one replaces, whose requests may be under way."""
        self.receipts = receipts
        self._clock = clock
        self._refresh = refresh
        self._secret = secret
        self._max_answer = max_answer
        self._allowance = Allowance(max_filling)
        self.turns = {} if turns is None else turns

    async def answer(
        self, asked: Request, onward: Request, route: Route, exchange: Exchange, through: Through
    ) -> Response:
        """The answer to a request, `asked` as it came and `onward` as it goes upstream.

        Raises what `through` raises; InvalidRequestError where the key belongs to another request;
        DeadlineExceededError where the first one takes longer than this one may.
        """
        place = receipt.place(asked, onward, route, secret=self._secret)
        if place is None:
            return await through(onward)
        patience = deadline.total(route.timeouts.total, asked.headers)
        if exchange.deadline is not None:
            patience = exchange.deadline - self._clock.now()
        turn = await self._turn(place, patience)
        try:
            first = await self.receipts.load(place)
        except BaseException:
            turn.end()
            raise
        if first is None:
            return await self._first(turn, onward, route, through)
        turn.end()
        return await self._again(onward, route, exchange, first)

    async def _turn(self, place: bytes, patience: float) -> Turn:
        """Waits until no other request with this key is under way, then is the one that is."""
        try:
            async with asyncio.timeout(patience):
                while (under_way := self.turns.get(place)) is not None:
                    await under_way.ended.wait()
        except TimeoutError:
            raise DeadlineExceededError(
                "A request with the same Idempotency-Key is still under way."
            ) from None
        turn = self.turns[place] = Turn(self.turns, place)
        return turn

    async def _again(self, request: Request, route: Route, exchange: Exchange, first: Receipt) -> Response:
        seen = receipt.mark(request, secret=self._secret)
        while piece := await request.body.read():
            seen.update(piece)
        try:
            answer = receipt.told(first, seen.digest(), now=self._clock.now(), ttl=route.idempotency or 0.0)
        except InvalidRequestError:
            exchange.reason = Reason.KEY_REUSED
            raise
        exchange.verdict, exchange.reason = Verdict.HIT, Reason.REPLAYED
        return answer

    async def _first(self, turn: Turn, request: Request, route: Route, through: Through) -> Response:
        promised: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

        def done(task: asyncio.Task[None]) -> None:
            promised.cancel()
            if task.cancelled():  # perhaps before its first step
                turn.end()

        lead = self._refresh.start(
            self._lead(turn, request, route, through, promised), name="first of its key"
        )
        lead.add_done_callback(done)
        try:
            return await promised
        except asyncio.CancelledError:
            if promised.done() and not promised.cancelled() and promised.exception() is None:
                promised.result().body.close()  # it came as its caller left
            raise

    async def _lead(
        self,
        turn: Turn,
        request: Request,
        route: Route,
        through: Through,
        promised: asyncio.Future[Response],
    ) -> None:
        body = Marked(request.body, receipt.mark(request, secret=self._secret))
        try:
            response = await through(replace(request, body=body))
            response = await self._kept(turn, body, route, response)
        except Exception as error:
            turn.end()
            if not promised.done():
                promised.set_exception(error)
            elif not isinstance(error, APIError):
                raise
            return
        if promised.done():
            response.body.close()  # nobody is there to read it
        else:
            promised.set_result(response)

    async def _kept(self, turn: Turn, sent: Marked, route: Route, response: Response) -> Response:
        """The answer, which is kept once it is complete."""
        room = self._max_answer - _receipt(response, b"", b"", 0.0).size
        length = response.body.length
        kind = of_status(response.status) if response.fault is None else response.fault.kind
        if not receipt.keepable(response.status, kind) or room < (length or 0):
            turn.end()
            return response

        async def keep(content: bytes) -> None:
            mark = sent.mark()
            if mark is not None:
                first = _receipt(response, content, mark, self._clock.now())
                await self.receipts.keep(turn.place, first, ttl=route.idempotency or 0.0)

        if isinstance(response.body, Whole):
            try:
                await keep(response.body.data)
            finally:
                turn.end()
            return response

        def ended() -> None:
            turn.end()
            staying.close()

        fill = Fill(
            response.body, limit=room, length=length, allowance=self._allowance, kept=keep, ended=ended
        )
        # Reads nothing, but is there: the last one to leave would stop the answer.
        staying = fill.reader()
        reader = fill.reader()
        fill.start(self._refresh)
        return response.with_body(reader)


class Turn:
    """One request that is under way, and whom its twins wait for."""

    __slots__ = ("_turns", "ended", "place")

    def __init__(self, turns: dict[bytes, Turn], place: bytes) -> None:
        self._turns = turns
        self.place = place
        self.ended = asyncio.Event()

    def end(self) -> None:
        """Its twins may look. Ending twice does nothing."""
        if self._turns.get(self.place) is self:
            del self._turns[self.place]
        self.ended.set()


class Marked:
    """A request's Body whose bytes are marked as they are read."""

    __slots__ = ("_begun", "_done", "_read", "_source")

    def __init__(self, source: Body, begun: blake2b) -> None:
        self._source = source
        self._begun = begun
        self._read = 0
        self._done = False

    @property
    def length(self) -> int | None:
        return self._source.length

    async def read(self) -> bytes:
        piece = await self._source.read()
        if piece:
            self._begun.update(piece)
            self._read += len(piece)
        else:
            self._done = True
        return piece

    def close(self) -> None:
        self._source.close()

    def mark(self) -> bytes | None:
        """Of the whole request; None where the upstream answered before it had been read."""
        return self._begun.digest() if self._done or self._read == self.length else None


def _receipt(response: Response, content: bytes, mark: bytes, now: float) -> Receipt:
    return Receipt(
        mark=mark,
        status=response.status,
        reason=response.reason,
        headers=response.headers,
        body=content,
        received=now,
    )
