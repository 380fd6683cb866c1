"""Who has one of the places under way to an upstream, and who waits for one?

`core`'s queue decides; here are those who wait. A place is held from before an attempt until the end of
its answer's body.
"""

from __future__ import annotations

import asyncio

from proxy.core.failure import DeadlineExceededError, OverloadedError
from proxy.core.ports import Clock
from proxy.core.resilience import queue
from proxy.core.resilience.gradient import Gradient, observe
from proxy.core.resilience.queue import Enter, Full, Line, Priority, QueuePolicy, Stand

_SOON = 1.0  # seconds; how long a queue will be full, nobody knows


class Places:
    """One upstream's."""

    def __init__(self, policy: QueuePolicy, clock: Clock) -> None:
        self.policy = policy
        self._clock = clock
        self._line = Line()
        self._waiting: dict[int, asyncio.Future[bool]] = {}
        self._tickets = 0
        self._gradient = Gradient(limit=min(Gradient().limit, policy.most))

    @property
    def line(self) -> Line:
        return self._line

    @property
    def most(self) -> int:
        """Places in all, as of now."""
        return int(self._gradient.limit) if self.policy.adaptive else self.policy.most

    def take_at_once(self) -> bool:
        """A place where one is free and nobody waits."""
        line = self._line
        if line.interactive or line.batch or line.under_way >= self.most:
            return False
        self._line = Line(under_way=line.under_way + 1)
        return True

    async def take(self, as_: Priority, deadline: float) -> bool:
        """A place; whether it was waited for. Raises OverloadedError, DeadlineExceededError."""
        self._tickets += 1
        ticket = self._tickets
        outcome, self._line = queue.arrive(self.policy, self._line, ticket, as_=as_, most=self.most)
        match outcome:
            case Enter():
                return False
            case Full():
                raise OverloadedError("The queue for this upstream is full.", retry_after=_SOON)
            case Stand(displaced=displaced):
                if displaced is not None:
                    self._answer(displaced, called=False)
                await self._stand(ticket, deadline)
                return True

    async def _stand(self, ticket: int, deadline: float) -> None:
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[bool] = loop.create_future()
        self._waiting[ticket] = waiting
        timer = loop.call_later(max(0.0, deadline - self._clock.now()), self._late, ticket)
        try:
            called = await waiting
        except asyncio.CancelledError:
            told = waiting.done() and not waiting.cancelled() and waiting.exception() is None
            if not self._forgotten(ticket) and told and waiting.result():
                self.free()  # it was called, and has left
            raise
        finally:
            timer.cancel()
        if not called:
            raise OverloadedError("Another caller went before this batch call.", retry_after=_SOON)

    def _late(self, ticket: int) -> None:
        waiting = self._waiting.get(ticket)
        if waiting is not None and self._forgotten(ticket) and not waiting.done():
            waiting.set_exception(DeadlineExceededError("The time was spent in the queue for this upstream."))

    def _forgotten(self, ticket: int) -> bool:
        """Whether it was still waiting; then it is no more."""
        if self._waiting.pop(ticket, None) is None:
            return False
        self._line = queue.give_up(self._line, ticket)
        return True

    def free(self) -> None:
        """One place is free."""
        line = self._line
        if not (line.interactive or line.batch):
            self._line = Line(under_way=max(0, line.under_way - 1))
            return
        called, self._line = queue.leave(self.policy, self._line, most=self.most)
        for ticket in called:
            self._answer(ticket, called=True)

    def _answer(self, ticket: int, *, called: bool) -> None:
        waiting = self._waiting.pop(ticket)
        if not waiting.done():
            waiting.set_result(called)
        elif called:
            self.free()  # it is leaving at this very moment

    def observed(self, seconds: float, *, overloaded: bool) -> None:
        """An attempt's head took so long, or did not come for the upstream had too much to do."""
        if self.policy.adaptive:
            self._gradient = observe(
                self._gradient,
                seconds=seconds,
                under_way=self._line.under_way,
                overloaded=overloaded,
                most=self.policy.most,
            )
