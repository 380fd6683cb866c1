"""Workers without processes: what a crew needs of a nursery, with each worker's side as a test says."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from proxy.config.loading import Loaded, load
from proxy.server.channel import Channel, RefusedError
from proxy.server.nursery import ForkError

NO_PROCESS = "no process"  # in place of what is wrong with a worker: there is none
_FIRST = 4_000_000  # above what any system gives to a process: killing one of these hits nobody


def loaded(**server: Any) -> Loaded:
    upstreams = {"a": {"base_url": "http://127.0.0.1:1"}}
    return load(None, {"server": server, "log": {"level": "error"}, "upstreams": upstreams}, {})


class Worker:
    """The other side of one worker's channel."""

    def __init__(self, pid: int, order: Mapping[str, Any], wrong: str | None) -> None:
        self.pid, self.order, self.wrong = pid, order, wrong
        self.told: list[str] = []
        self.sockets: list[int] = []
        self.figures: list[Any] = []
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.channel = Channel(self._answer)

    async def begin(self, own: socket.socket) -> None:
        await self.channel.open(own)
        if self.wrong is None:
            self.channel.tell("ready")
        else:
            self.channel.tell("failed", detail=self.wrong)
            await self.end(1)

    async def end(self, status: int) -> None:
        if not self.ended.done():
            await self.channel.close()
            self.ended.set_result(status)

    async def _answer(self, what: str, asked: Mapping[str, Any]) -> Any:
        self.told.append(what)
        match what:
            case "accept":
                self.sockets = asked["sockets"]
            case "calls":
                return {"busy": False, "answered": 0}
            case "figures":
                return self.figures
            case "end" | "retire":
                await self.end(0)
            case "drain" | "hurry":
                pass
            case _:
                raise RefusedError("unknown", what)
        return None


class Nursery:
    """`wrong` is what the workers to come cannot begin for."""

    def __init__(self) -> None:
        self.workers: list[Worker] = []
        self.wrong: list[str | None] = []
        self.ended = asyncio.Event()
        self.pid = _FIRST

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Its ends are heard of anyway."""

    async def fork(self, order: bytes, sockets: Sequence[socket.socket]) -> int:
        wrong = self.wrong.pop(0) if self.wrong else None
        if wrong == NO_PROCESS:
            raise ForkError
        worker = Worker(_FIRST + len(self.workers) + 1, json.loads(order), wrong)
        self.workers.append(worker)
        await worker.begin(socket.socket(fileno=os.dup(sockets[0].fileno())))
        return worker.pid

    async def end_of(self, pid: int) -> int:
        return await asyncio.shield(self.workers[pid - _FIRST - 1].ended)

    @property
    def living(self) -> list[Worker]:
        return [worker for worker in self.workers if not worker.ended.done()]

    async def kill(self, worker: Worker) -> None:
        await worker.end(-signal.SIGKILL)
