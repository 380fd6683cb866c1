"""How long is an answer's head still waited for?

One timer an attempt. While a body is sent the wait starts anew with each piece, so that a long upload is
not a slow answer; the total never moves. A process that was held up is not a slow upstream: what came
meanwhile is read before a wait is called over.
"""

from __future__ import annotations

import asyncio
from enum import Enum, auto

from proxy.upstream.wire import Wire

_EARLY = 0.001  # loops may run a timer so much too soon, seconds
LAST_LOOK = 0.002  # seconds; uvloop runs timers before it reads, this one after it


class Spent(Enum):
    """Which time is over."""

    ATTEMPT = auto()  # the upstream's
    TOTAL = auto()  # the whole request's
    CALLER = auto()  # the next piece of the caller's body did not come


class Patience:
    """Runs from its making until `end`. Times are the loop's, in seconds; `total` is a point of them."""

    __slots__ = ("_due", "_ended", "_handle", "_looked", "_loop", "_of_caller", "_total", "_wire", "spent")

    def __init__(self, wire: Wire, *, attempt: float, total: float) -> None:
        self._wire = wire
        self._loop = loop = asyncio.get_running_loop()
        self._due = loop.time() + attempt
        self._total = total
        self._of_caller = False
        self._looked = 0.0  # the end of a wait for which there was a last look
        self._ended = False
        self.spent: Spent | None = None
        self._handle = loop.call_at(min(self._due, total), self._fire)

    def renew(self, seconds: float, *, of_caller: bool = False) -> None:
        """Something moved; `of_caller`: the caller is waited for, not the upstream. Not after `end`."""
        if self._ended:
            return
        self._due = self._loop.time() + seconds
        self._of_caller = of_caller
        if self._due < self._handle.when():  # a later one is found out when the timer runs
            self._handle.cancel()
            self._handle = self._loop.call_at(self._due, self._fire)

    def end(self) -> None:
        self._ended = True
        self._handle.cancel()

    def _fire(self) -> None:
        if self._ended:
            return
        limit = min(self._due, self._total)
        if self._loop.time() < limit - _EARLY:
            self._handle = self._loop.call_at(limit, self._fire)
            return
        if self._looked != limit:
            self._looked = limit
            self._handle = self._loop.call_later(LAST_LOOK, self._fire)
            return
        if self._total <= self._due:
            self.spent = Spent.TOTAL
        else:
            self.spent = Spent.CALLER if self._of_caller else Spent.ATTEMPT
        self._wire.expire()
