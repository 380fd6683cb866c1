"""What do all workers together tell the admin port, and do for it?

The law: what one worker keeps to itself (figures, recent requests, what is on its way) is asked of all of
them; what they share (the store) of one. A worker that does not answer in time is left out, with what was
last heard of it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from itertools import count
from typing import Any, NamedTuple, NoReturn

from aiohttp import web

from proxy import __version__
from proxy.admin.asked import UnknownUpstreamError
from proxy.admin.status import snapshot
from proxy.core.caching.purge import Purge
from proxy.core.failure import BadRequestError, NoRouteError
from proxy.observe.merging import Families, Ledger
from proxy.observe.recent import KEPT
from proxy.server.channel import Channel, GoneError, RefusedError

_PATIENCE = 2.0  # seconds for a worker to answer
_LONG = 60.0  # seconds for what goes through the whole store

_REFUSALS: dict[str, type[Exception]] = {
    "unknown_upstream": UnknownUpstreamError,
    "no_route": NoRouteError,
    "bad_request": BadRequestError,
}


class Asked(NamedTuple):
    """A worker that can be asked."""

    id: int
    channel: Channel


class Gathering:
    """`workers` gives those that can be asked now, the best to ask for what all share first."""

    def __init__(self, workers: Callable[[], Sequence[Asked]]) -> None:
        self._workers = workers
        self._departed: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._turns = count()
        self.ledger = Ledger()

    def departed(self, worker: int, requests: list[dict[str, Any]]) -> None:
        """A worker has ended; `requests` are those that it remembered, newest first."""
        self.ledger.bury(worker)
        self._departed.extend(reversed(requests))

    async def exposition(self, accept: str, own: Families) -> tuple[bytes, str]:
        """`own` are the supervisor's figures."""
        await self._refresh()
        self.ledger.note(0, own)
        return self.ledger.exposition(accept)

    async def status(self, *, uptime: float, ready: bool, capacity: Mapping[str, int]) -> dict[str, Any]:
        answers = await self._all("status")
        if not answers:
            _nobody()
        await self._refresh()
        recent = _Recent([answer["times"] for _, answer in answers])
        told = snapshot(
            version=__version__,
            uptime=uptime,
            ready=ready,
            metrics=self.ledger,
            recent=recent,
            upstreams={row["name"]: {} for row in answers[0][1]["status"]["upstreams"]},
            capacity=capacity,
        )
        rows = {
            row["name"]: row for row in reversed([r for _, a in answers for r in a["status"]["upstreams"]])
        }
        told["upstreams"] = [{**rows.get(row["name"], {}), **row} for row in told["upstreams"]]
        first: dict[str, Any] = answers[0][1]["status"]
        return {**first, **told}

    async def requests(self, limit: int) -> list[dict[str, Any]]:
        answers = await self._all("requests", limit=limit)
        rows = [row for _, answer in answers for row in answer]
        rows += self._departed
        rows.sort(key=lambda row: float(row["at"]), reverse=True)
        return rows[:limit]

    async def cache(self, what: Purge, limit: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = await self._one("cache", what=asdict(what), limit=limit)
        return found

    async def purge(self, what: Purge) -> int:
        # What is on its way first: what lands before that is in the store, and goes with it.
        await self._all("forget", what=asdict(what))
        return int(await self._one("purge", what=asdict(what)))

    async def explain(self, method: str, target: str) -> Mapping[str, Any]:
        told: Mapping[str, Any] = await self._one("explain", method=method, path=target)
        return told

    async def _refresh(self) -> None:
        for worker, figures in await self._all("figures"):
            self.ledger.note(worker, figures)

    async def _all(self, asked: str, /, **arguments: Any) -> list[tuple[int, Any]]:
        workers = self._workers()
        answers = await asyncio.gather(
            *(worker.channel.ask(asked, timeout=_PATIENCE, **arguments) for worker in workers),
            return_exceptions=True,
        )
        alive = {worker.id for worker in self._workers()}
        found = []
        for worker, answer in zip(workers, answers, strict=True):
            if isinstance(answer, BaseException):
                if not isinstance(answer, GoneError | TimeoutError | RefusedError):
                    raise answer
            elif worker.id in alive:  # who has left meanwhile said its last word itself
                found.append((worker.id, answer))
        return found

    async def _one(self, asked: str, /, **arguments: Any) -> Any:
        workers = self._workers()
        turn = next(self._turns)
        for offset in range(len(workers)):
            worker = workers[(turn + offset) % len(workers)]
            try:
                return await worker.channel.ask(asked, timeout=_LONG, **arguments)
            except GoneError:
                continue
            except RefusedError as error:
                refusal = _REFUSALS.get(error.kind)
                if refusal is None:
                    raise
                raise refusal(error.detail) from error
        return _nobody()


class _Time(NamedTuple):
    upstream: str
    seconds: float


class _Recent:
    def __init__(self, times: Sequence[Mapping[str, list[float]]]) -> None:
        self._times = times

    def summaries(self) -> list[_Time]:
        return [
            _Time(upstream, seconds)
            for told in self._times
            for upstream, several in told.items()
            for seconds in several
        ]


def _nobody() -> NoReturn:
    raise web.HTTPServiceUnavailable(reason="No worker is there just now; ask again.")
