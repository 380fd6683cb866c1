"""What would an app have had of it? One list of calls, made against one address, each call measured."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

SPAN = 6.0  # seconds over which the calls are spread
PATIENCE = 8.0  # seconds after which an app would give up
_GOOD = 200  # the only success that this API knows


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of the trace; `at` in seconds from its start. `doomed`: the right answer is an error."""

    at: float
    path: str
    method: str = "GET"
    doomed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a call. Status 0 = no answer at all; `seconds` is how long the caller waited."""

    call: Call
    status: int
    seconds: float
    verdict: str = ""  # the cache's, read from Cache-Status: hit, collapsed, or fetched
    attempts: int = 1
    code: str = ""
    body: str = ""

    @property
    def failed(self) -> bool:
        """The caller got an error where the API would have had an answer."""
        return not self.call.doomed and self.status != _GOOD


@dataclass(slots=True)
class Run:
    """All outcomes of one side, growing while it runs."""

    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def failed(self) -> int:
        return sum(outcome.failed for outcome in self.outcomes)

    def waited(self, share: float) -> float:
        """Seconds within which this share of the good answers had come: refusals are quick, and no use."""
        times = sorted(outcome.seconds for outcome in self.outcomes if outcome.status == _GOOD)
        return times[min(len(times) - 1, int(share * len(times)))] if times else 0.0


def trace(seed: int = 11) -> list[Call]:
    """The same list for the same seed: a shop's day in seconds.

    Popular products over and over, everybody asking for a rate that has just expired, a nightly report
    that asks for much at once, and some calls that are wrong.
    """
    chance = random.Random(seed)  # noqa: S311  (a script of calls)
    calls = [
        Call(at=chance.uniform(0, SPAN), path=f"/products/{int(chance.triangular(1, 12, 1))}")
        for _ in range(170)
    ]
    calls += [Call(at=chance.uniform(0, SPAN), path=f"/orders/{n}") for n in range(30)]
    calls += [Call(at=0.5 + 1.5 * n, path="/rates/eur") for n in range(4) for _ in range(15)]
    calls += [Call(at=3.2, path=f"/reports/{n}") for n in range(30)]
    calls += [Call(at=1.3 * n + 0.7, path="/users/missing", doomed=True) for n in range(4)]
    calls += [Call(at=1.7 * n + 1, path="/payments", method="POST", doomed=True) for n in range(3)]
    return sorted(calls, key=lambda call: call.at)


async def play(calls: Iterable[Call], base: str, run: Run, headers: Mapping[str, str]) -> None:
    """Makes every call at its time, whatever became of those before it."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    # A connection for each call, and none that is quietly made again: that would blur the counts.
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    async with (
        aiohttp.ClientSession(base, connector=connector, timeout=timeout, headers=headers) as session,
        asyncio.TaskGroup() as group,
    ):
        session._retry_connection = False  # noqa: SLF001  (there is no public switch)
        for call in calls:
            await asyncio.sleep(start + call.at - loop.time())
            group.create_task(_make(session, call, run))


async def _make(session: aiohttp.ClientSession, call: Call, run: Run) -> None:
    loop = asyncio.get_running_loop()
    started = loop.time()
    told: dict[str, Any] = {"status": 0}
    try:
        async with session.request(call.method, call.path) as response:
            told = {"body": await response.text(), "status": response.status, **_notes(response.headers)}
    except (aiohttp.ClientError, TimeoutError):
        pass  # status 0 says it
    run.outcomes.append(Outcome(call=call, seconds=loop.time() - started, **told))


def _notes(headers: Mapping[str, str]) -> dict[str, Any]:
    status = headers.get("Cache-Status", "")
    words = {word.strip() for word in status.split(";")}
    verdict = "collapsed" if "collapsed" in words else "hit" if "hit" in words else "fetched"
    return {
        "verdict": verdict if status else "",
        "attempts": int(headers.get("Leeward-Attempts", "1")),
        "code": headers.get("Leeward-Error", ""),
    }
