"""Of two ways to the same answer, which is the caller's?

The second begins only when the first has been out for a while, and may not begin at all. The first good
answer is taken, and the other way is given up before it is handed on; where neither is good, it is as if
the first had been alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from proxy.core.exchange import Attempt, Exchange
from proxy.core.failure import APIError
from proxy.core.message import Response
from proxy.core.reason import Reason
from proxy.core.resilience.hedging import Times, patience, took
from proxy.core.routing import Route

_FIRST_SERVER_FAILURE = 500
_TOO_MANY = 429
_Task = asyncio.Task[Response]


class Way(Protocol):
    """A request on its way."""

    exchange: Exchange

    async def run(self) -> Response:
        """All its attempts. Raises APIError."""

    def beside(self) -> Way | None:
        """One more attempt while it is under way; None where it may not be."""

    def tell(self, attempt: Attempt) -> None:
        """An attempt has ended."""


class Hedges:
    """How long the upstreams' answers take, and what begins beside one that takes longer."""

    def __init__(self) -> None:
        self._times: dict[str, Times] = {}

    async def answer(self, way: Way, route: Route) -> Response:
        """The way's, or that of another beside it. Raises what the first raises."""
        policy = route.retry.hedge
        after = None if policy is None else patience(policy, self._times.get(route.name, Times()))
        beside: list[Way] = []

        def second() -> Coroutine[Any, Any, Response] | None:
            other = way.beside()
            if other is None:
                return None
            beside.append(other)
            return other.run()

        try:
            if after is None:
                response, other = await way.run(), False
            else:
                response, other = await race(way.run(), second, after=after)
        except APIError:
            _merge(way, beside, other=False)
            raise
        self._learn(route.name, way.exchange.attempts)
        _merge(way, beside, other=other)
        return response

    def _learn(self, name: str, attempts: list[Attempt]) -> None:
        times = self._times.get(name, Times())
        for attempt in attempts:
            # One that was given up for a quicker one would have taken longer still.
            if not attempt.failed or not attempt.outcome:
                times = took(times, attempt.seconds)
        self._times[name] = times


def _merge(way: Way, beside: list[Way], *, other: bool) -> None:
    """Makes one record of both, the attempt that brought the answer last; `other`: that is another's."""
    ours = way.exchange.attempts
    for side in beside:
        added = [one for one in side.exchange.attempts if not any(one is known for known in ours)]
        for attempt in (*ours, *added):
            if not attempt.outcome:
                attempt.outcome, attempt.reason = "cancelled", Reason.HEDGED
                way.tell(attempt)
        ours[:] = [*ours, *added] if other else [*added, *ours]


async def race(
    first: Coroutine[Any, Any, Response],
    second: Callable[[], Coroutine[Any, Any, Response] | None],
    *,
    after: float,
) -> tuple[Response, bool]:
    """The answer, and whether it is the second's. Raises what the first raises.

    `after`: seconds until `second` is asked for its coroutine.
    """
    leader = asyncio.ensure_future(first)
    tasks = [leader]
    taken: _Task | None = None
    try:
        await asyncio.wait(tasks, timeout=after)
        beside = None if leader.done() else second()
        if beside is not None:
            tasks.append(asyncio.ensure_future(beside))
        taken = await _taken(tasks)
        return await taken, taken is not leader
    finally:
        await _given_up([task for task in tasks if task is not taken])


async def _taken(tasks: list[_Task]) -> _Task:
    """The first that is good; of those that are not, the first."""
    waiting = set(tasks)
    while waiting:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task in done and _good(task):
                return task
    return tasks[0]


def _good(task: _Task) -> bool:
    if task.cancelled() or task.exception() is not None:
        return False
    status = task.result().status
    return status < _FIRST_SERVER_FAILURE and status != _TOO_MANY


async def _given_up(tasks: list[_Task]) -> None:
    """Nothing of them is left when this returns."""
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, Response):
            outcome.body.close()
