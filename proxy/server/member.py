"""How does one of several workers start, serve and end?

It is told everything by the supervisor: on which sockets to take calls, when to finish, when to end. Signals
do not reach it: those that a terminal or a service manager sends to all processes are the supervisor's
business. It tells what it counted whenever that has changed, so that little is lost with it.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any

from proxy.admin.asked import UnknownUpstreamError
from proxy.config.certificates import CertificateError
from proxy.config.settings import Settings
from proxy.config.sharing import divided
from proxy.core.caching.purge import Purge
from proxy.core.failure import BadRequestError, NoRouteError
from proxy.observe.merging import figures
from proxy.observe.recent import KEPT
from proxy.server.channel import Channel, RefusedError
from proxy.server.serving import Serving
from proxy.server.sources import Told
from proxy.wiring import build

_TELL = 0.25  # seconds between two looks at whether there is news


def bear(order: bytes, sockets: list[socket.socket]) -> int:
    """A worker's whole life, in a process that was forked for it; its exit status."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    channel, *listening = sockets
    member = Member(json.loads(order), listening)
    return run(member.run(channel))


def run(work: Coroutine[Any, Any, int]) -> int:
    """On uvloop, or where it has no build, on asyncio's own loop, which is slower."""
    try:
        import uvloop  # noqa: PLC0415 - not everywhere
    except ImportError:
        return asyncio.run(work)
    return uvloop.run(work)


class Member:
    """One of several workers. `order` says what it works by; `listening` are all workers' sockets."""

    def __init__(self, order: Mapping[str, Any], listening: list[socket.socket]) -> None:
        self._order = order
        self._listening = listening
        self._serving: Serving | None = None
        self._told: Told | None = None
        self._end = asyncio.Event()
        self._now = asyncio.Event()
        self._channel = Channel(self._answer)

    async def run(self, own: socket.socket) -> int:
        """Until it is told to end, or nobody is there any more to tell it."""
        await self._channel.open(own)
        settings = divided(Settings(**self._order["data"]), self._order["workers"])
        try:
            runtime = await build(settings, shared=self._shared(settings))
            serving = self._serving = Serving(settings, runtime, asyncio.get_running_loop())
        except CertificateError as error:
            self._channel.tell("failed", detail=str(error))
            await self._channel.close()
            return 1
        self._told = Told(serving, draining=lambda: serving.app.draining)
        self._channel.tell("ready")
        telling = asyncio.create_task(self._tell(serving))
        ends = [asyncio.create_task(event.wait()) for event in (self._end, self._channel.closed)]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for task in (*ends, telling):
            task.cancel()
        await serving.close()
        requests = serving.runtime.recent.latest(KEPT)
        counted = await figures(serving.runtime.metrics)
        self._channel.tell("goodbye", figures=counted, requests=requests)
        await self._channel.close()
        return 0

    def _shared(self, settings: Settings) -> Path | None:
        return Path(self._order["shared"]) if settings.cache.store == "memory://" else None

    async def _tell(self, serving: Serving) -> None:
        told = -1
        while True:
            await asyncio.sleep(_TELL)
            if serving.app.answered != told:
                told = serving.app.answered
                self._channel.tell("figures", figures=await figures(serving.runtime.metrics))

    async def _answer(self, what: str, asked: Mapping[str, Any]) -> Any:
        serving, told = self._serving, self._told
        if serving is None or told is None:
            raise RefusedError("starting", "The worker is not ready yet.")
        try:
            answered = await _questioned(told, serving, what, asked)
        except UnknownUpstreamError as error:
            raise RefusedError("unknown_upstream", str(error)) from error
        except NoRouteError as error:
            raise RefusedError("no_route", error.detail) from error
        except BadRequestError as error:
            raise RefusedError("bad_request", error.detail) from error
        return await self._ordered(serving, what, asked) if answered is None else answered

    async def _ordered(self, serving: Serving, what: str, asked: Mapping[str, Any]) -> None:
        match what:
            case "accept":
                await serving.accept({number: self._listening[number] for number in asked["sockets"]})
            case "drain":
                serving.drain()
            case "retire":
                await serving.accept({})
                serving.drain()
                await serving.left(self._now)
                self._end.set()
            case "hurry":
                self._now.set()
            case "end":
                self._end.set()
            case _:
                raise RefusedError("unknown", what)


async def _questioned(told: Told, serving: Serving, what: str, asked: Mapping[str, Any]) -> Any:
    """What the admin port asks for; None for what is no question."""
    answer: Any = None
    match what:
        case "figures":
            answer = await figures(serving.runtime.metrics)
        case "calls":
            answer = {"busy": serving.busy, "answered": serving.app.answered}
        case "status":
            answer = {"status": await told.status(), "times": _times(serving)}
        case "requests":
            answer = await told.requests(asked["limit"])
        case "cache":
            answer = await told.cache(Purge(**asked["what"]), asked["limit"])
        case "forget":
            serving.runtime.caching.flights.purge(Purge(**asked["what"]))
            answer = True
        case "purge":
            answer = await told.purge(Purge(**asked["what"]))
        case "explain":
            answer = await told.explain(asked["method"], asked["path"])
        case _:
            pass
    return answer


def _times(serving: Serving) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {}
    for summary in serving.runtime.recent.summaries():
        times.setdefault(summary.upstream, []).append(summary.seconds)
    return times
