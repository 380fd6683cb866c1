"""Which worker does what: how is one started, watched, replaced, and told on which sockets to take calls?

The law: every socket has a worker that takes calls from it, as long as there is any worker: where one is
missing, another covers for it. One that ended by itself is replaced at once, and after that ever more slowly
while its successors do not live long. Of a whole new crew either all begin to serve, or none.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import field
from typing import Any

from proxy.config.loading import Loaded
from proxy.core.value import dataclass
from proxy.server.channel import Channel, GoneError, RefusedError
from proxy.server.gathering import Asked, Gathering
from proxy.server.nursery import ForkError, Nursery

_LOGGER = logging.getLogger("leeward")
_READY_WITHIN = 30.0  # seconds
_STEADY = 10.0  # seconds that a worker has to live for its successor to start at once
_FIRST_WAIT, _LONGEST_WAIT = 0.2, 5.0  # seconds before one that did not
_LOOK = 5.0  # seconds between two looks at whether a worker still answers
_STUCK = 30.0  # seconds after which one that does not is killed
_END_WITHIN = 5.0  # seconds for those that are told to end


class StartError(Exception):
    """A worker could not begin to serve; the message says why."""


@dataclass(slots=True, eq=False)
class Hand:
    """One worker's process."""

    pid: int
    post: int
    channel: Channel
    since: float
    ready: asyncio.Future[str | None]  # what is wrong, or None
    gone: bool = False  # it has told its last figures
    sockets: list[int] = field(default_factory=list)


class Crew:
    """All workers. `rows` are the sockets of each post; `order` makes what a worker works by."""

    def __init__(
        self,
        nursery: Nursery,
        rows: list[list[socket.socket]],
        *,
        order: Callable[[Loaded], Mapping[str, Any]],
        restarted: Callable[[], None],
    ) -> None:
        self._nursery = nursery
        self._rows = rows
        self._order = order
        self._restarted = restarted
        self._posts: dict[int, Hand] = {}
        self._leaving: list[Hand] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._one = asyncio.Lock()
        self._closing = False
        self._loaded: Loaded | None = None
        self._failures: dict[int, int] = {}
        self._count = 0
        self.gathering = Gathering(self._asked)

    @property
    def ready(self) -> int:
        """Workers that serve."""
        return len(self._posts)

    @property
    def wanted(self) -> int:
        return self._count

    async def replace(self, loaded: Loaded, count: int, rows: list[list[socket.socket]]) -> None:
        """A whole new crew, of so many; the one before it finishes what it does. Raises StartError."""
        async with self._one:
            before, self._rows = self._rows, rows
            fresh: list[Hand] = []
            try:
                for post in range(count):
                    fresh.append(await self._start(post, loaded, count))
                    await self._up(fresh[-1])
            except StartError:
                self._rows = before
                for hand in fresh:
                    _kill(hand)
                raise
            self._loaded, self._count = loaded, count
            for hand in self._leaving:
                hand.channel.tell("hurry")
            earlier = list(self._posts.values())
            self._posts = dict(enumerate(fresh))
            self._failures.clear()
            self._cover()
            self._leaving += earlier
            for hand in earlier:
                hand.channel.tell("retire")

    def tell(self, what: str) -> None:
        """Tells every worker, the leaving ones too."""
        for hand in (*self._posts.values(), *self._leaving):
            hand.channel.tell(what)

    async def calls(self) -> tuple[bool, int]:
        """(whether any request runs, requests answered) of all workers."""
        asked = [
            hand.channel.ask("calls", timeout=_END_WITHIN) for hand in (*self._posts.values(), *self._leaving)
        ]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        told = [answer for answer in answers if isinstance(answer, dict)]
        return any(answer["busy"] for answer in told), sum(answer["answered"] for answer in told)

    def closing(self) -> None:
        """From now on nobody is replaced."""
        self._closing = True

    async def close(self) -> None:
        """Ends all, whatever they do."""
        self._closing = True
        self.tell("end")
        hands = [*self._posts.values(), *self._leaving]
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_WITHIN):
                for hand in hands:
                    await self._nursery.end_of(hand.pid)
        for hand in hands:
            _kill(hand)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _asked(self) -> list[Asked]:
        hands = (*self._posts.values(), *self._leaving)
        return [Asked(hand.pid, hand.channel) for hand in hands if not hand.gone]

    async def _start(self, post: int, loaded: Loaded, count: int) -> Hand:
        ours, theirs = socket.socketpair()
        order = json.dumps({**self._order(loaded), "workers": count}).encode()
        listening = [own for row in self._rows for own in row]
        try:
            with theirs:
                pid = await self._nursery.fork(order, [theirs, *listening])
        except ForkError:
            ours.close()
            raise StartError("The system makes no further process now.") from None
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[str | None] = loop.create_future()

        async def heard(what: str, told: Mapping[str, Any]) -> None:
            match what:
                case "ready" | "failed" if not ready.done():
                    ready.set_result(told.get("detail"))
                case "figures":
                    self.gathering.ledger.note(pid, told["figures"])
                case "goodbye":
                    hand.gone = True
                    self.gathering.ledger.note(pid, told["figures"])
                    self.gathering.departed(pid, told["requests"])
                case _:
                    raise RefusedError("unknown", what)

        channel = Channel(heard)
        hand = Hand(pid=pid, post=post, channel=channel, since=loop.time(), ready=ready)
        await channel.open(ours)
        self._spawn(self._watch(hand))
        return hand

    async def _up(self, hand: Hand) -> None:
        """Waits until it can serve. Raises StartError."""
        try:
            async with asyncio.timeout(_READY_WITHIN):
                wrong = await hand.ready
        except TimeoutError:
            _kill(hand)
            wrong = "A worker did not become ready in time."
        if wrong is not None:
            raise StartError(wrong)

    async def _watch(self, hand: Hand) -> None:
        """Until it has ended, and what becomes of its place then."""
        looking = asyncio.create_task(_look(hand))
        status = await self._nursery.end_of(hand.pid)
        looking.cancel()
        # What it said last may still be in the channel.
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await hand.channel.heard()
        await hand.channel.close()
        if not hand.ready.done():
            hand.ready.set_result(f"A worker ended while it started: {_told(status)}.")
        self.gathering.departed(hand.pid, [])
        if hand in self._leaving:
            self._leaving.remove(hand)
        if self._posts.get(hand.post) is not hand:
            return
        del self._posts[hand.post]
        if self._closing:
            return
        _LOGGER.error("Worker %d ended: %s; another one takes its place", hand.pid, _told(status))
        self._restarted()
        self._cover()
        if asyncio.get_running_loop().time() - hand.since >= _STEADY:
            self._failures.pop(hand.post, None)
        await self._refill(hand.post)

    async def _refill(self, post: int) -> None:
        while not self._closing:
            failures = self._failures.get(post, 0)
            self._failures[post] = failures + 1
            if failures:
                await asyncio.sleep(min(_FIRST_WAIT * 2 ** (failures - 1), _LONGEST_WAIT))
            async with self._one:
                if post in self._posts or post >= self._count or self._loaded is None or self._closing:
                    return
                try:
                    hand = await self._start(post, self._loaded, self._count)
                    await self._up(hand)
                except StartError as error:
                    _LOGGER.error("No worker could be started: %s", error)  # noqa: TRY400 - it says all
                    continue
                self._posts[post] = hand
                self._cover()
                return

    def _cover(self) -> None:
        """Says who takes calls from which sockets."""
        serving = sorted(self._posts.items())
        if not serving:
            return
        share: dict[int, list[int]] = {post: [] for post, _ in serving}
        width = len(self._rows[0])
        spare = 0
        for post in range(len(self._rows)):
            row = list(range(post * width, (post + 1) * width))
            if post in share:
                share[post] += row
            elif self._rows[post] is not self._rows[serving[0][0]]:
                share[serving[spare % len(serving)][0]] += row
                spare += 1
        for post, hand in serving:
            if hand.sockets != share[post]:
                hand.sockets = share[post]
                hand.channel.tell("accept", sockets=share[post])

    def _spawn(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _look(hand: Hand) -> None:
    """Kills a worker whose loop does not turn any more."""
    await hand.ready
    try:
        while True:
            await asyncio.sleep(_LOOK)
            await hand.channel.ask("calls", timeout=_STUCK)
    except TimeoutError:
        _LOGGER.error("Worker %d does not answer any more, and is killed", hand.pid)  # noqa: TRY400
        _kill(hand)
    except GoneError:
        return


def _kill(hand: Hand) -> None:
    with suppress(ProcessLookupError):
        os.kill(hand.pid, signal.SIGKILL)


def _told(status: int) -> str:
    return f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
