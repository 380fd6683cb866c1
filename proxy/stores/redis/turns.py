"""Whose turn is it to fetch, among all processes on all machines that share a Redis?

The law: a turn is a name that exists for LEASE at most unless who has it lives on and renews it, so a process
that dies lets go soon. Its number grows from turn to turn and goes along with what is kept: what somebody
brings who has lost its turn meanwhile never replaces what its successor brought. Nobody waits longer than its
patience, and without Redis everybody is alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from secrets import token_hex
from typing import Any

from proxy.core.ports import Clock, Turn
from proxy.stores.redis.clients import Command, LostError
from proxy.stores.redis.link import Link
from proxy.stores.redis.names import Names
from proxy.stores.redis.scripts import END, RENEW, TAKE

LEASE = 2000  # ms
_RENEWED = 0.6  # seconds between two renewals
_FREED = 1000  # ms for which it is known that an answer cannot be shared
_ALONE = b"-"  # stands in the place of who has the turn
_FIRST_PAUSE = 0.005  # seconds between two looks at a turn that somebody has; grows
_LONGEST_PAUSE = 0.05
_GROWTH = 1.5


class RedisTurns:
    """core.ports.Turns."""

    def __init__(self, link: Link, names: Names, clock: Clock) -> None:
        self._link = link
        self._names = names
        self._clock = clock
        self._held: dict[bytes, tuple[str, int]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._renewing: asyncio.Task[None] | None = None

    async def take(self, name: bytes, patience: float) -> Turn:
        who = token_hex(12)
        where = self._names.turn(name)
        limit = self._clock.now() + patience
        pause = _FIRST_PAUSE
        first: bytes | None = None
        while True:
            try:
                (reply,) = await self._link.ask([("EVAL", TAKE, 1, where, who, LEASE)])
            except LostError:
                return Turn.ALONE
            except asyncio.CancelledError:
                self._end(where, who, "")  # it may have been had by now
                raise
            if not isinstance(reply, list):
                return Turn.ALONE
            holder, number = reply
            if number:
                self._held[name] = (who, int(number))
                self._keep_renewing()
                return Turn.MINE
            if holder == _ALONE:
                return Turn.ALONE
            if first is not None and holder != first:
                return Turn.OVER
            first = holder
            if self._clock.now() + pause > limit:
                return Turn.ALONE
            await asyncio.sleep(pause)
            pause = min(pause * _GROWTH, _LONGEST_PAUSE)

    def end(self, name: bytes, *, shared: bool) -> None:
        held = self._held.pop(name, None)
        if held is not None:
            self._end(self._names.turn(name), held[0], "" if shared else _ALONE.decode())

    def number(self, primary: bytes) -> int:
        """Of the turn under which something for this key is fetched here; 0 = of none."""
        found = (number for name, (_, number) in self._held.items() if primary in name)
        return max(found, default=0)

    async def close(self) -> None:
        for name in tuple(self._held):
            self.end(name, shared=True)
        if self._renewing is not None:
            self._renewing.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _end(self, where: str, who: str, left: str) -> None:
        self._start([("EVAL", END, 1, where, who, left, _FREED)])

    def _start(self, commands: Sequence[Command]) -> None:
        task = asyncio.create_task(self._asked(commands), name="redis turn")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _asked(self, commands: Sequence[Command]) -> list[Any]:
        try:
            return await self._link.ask(commands)
        except LostError:
            return []  # it expires by itself

    def _keep_renewing(self) -> None:
        if self._renewing is None or self._renewing.done():
            self._renewing = asyncio.create_task(self._renew(), name="redis turns")

    async def _renew(self) -> None:
        while self._held:
            await asyncio.sleep(_RENEWED)
            held = tuple(self._held.items())
            if held:
                turn = self._names.turn
                await self._asked([("EVAL", RENEW, 1, turn(name), who, LEASE) for name, (who, _) in held])
