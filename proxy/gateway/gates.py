"""Who waits at a gate that an upstream's 429 has shut, and who is woken when?

A gate is kept per scope (upstream, credential, quota bucket) only while it is not open; `core`'s holdoff
decides about it. Here are those who wait: one is woken for each place that comes free, the longest
waiting first, batch calls after all others.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Hashable
from typing import NamedTuple

from proxy.core.ports import Clock
from proxy.core.resilience import holdoff
from proxy.core.resilience.holdoff import Free, Gate, Shut
from proxy.core.resilience.passage import GO, Go, Wait

MOST_SECONDS = 3600.0  # a longer time is asked about once an hour
_MOST_GATES = 10_000
_LOOK_AGAIN = 0.02  # seconds until the next is woken where nothing keeps it
_LEAST_WAIT = 0.001  # seconds; timers fire a little early, and the clock would say so again and again


class Scope(NamedTuple):
    """What one 429 speaks for. `who` tells credentials apart without revealing them."""

    upstream: str
    who: Hashable
    bucket: str


class Gates:
    """All gates that are not open; they are in `kept`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.kept: dict[Scope, Gate] = {}
        # Each with whether it is a batch call.
        self._waiting: dict[Scope, OrderedDict[asyncio.Future[bool], bool]] = {}
        self._called: dict[Scope, int] = {}
        self._timers: dict[Scope, asyncio.TimerHandle] = {}
        self._era = 0

    def __len__(self) -> int:
        return len(self.kept)

    def __contains__(self, scope: Scope) -> bool:
        return scope in self.kept

    def look(self, scope: Scope) -> Go | Wait:
        """Whether a call could go now."""
        gate = self.kept.get(scope)
        return GO if gate is None else holdoff.permit(gate, self._clock.now())[0]

    def shut(self, scope: Scope) -> bool:
        """Whether a moment is known before which nothing goes."""
        gate = self.kept.get(scope)
        return isinstance(gate, Shut) and gate.until > self._clock.now()

    def enter(self, scope: Scope) -> Go | Wait:
        """Lets a call go, or not; which one went, `ended` has to be told."""
        gate = self.kept.get(scope)
        if gate is None:
            return GO
        passage, self.kept[scope] = holdoff.permit(gate, self._clock.now())
        return passage

    async def stand(self, scope: Scope, deadline: float, *, again: bool = False, batch: bool = False) -> None:
        """Waits for a turn in the order of coming, until the monotonic second `deadline` at most.

        `again`: it was woken before, and another was quicker; it stands first.
        """
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[bool] = loop.create_future()
        line = self._waiting.setdefault(scope, OrderedDict())
        line[waiting] = batch
        if again:
            line.move_to_end(waiting, last=False)
        self._arm(scope)
        timer = loop.call_later(max(_LEAST_WAIT, deadline - self._clock.now()), _wake, waiting)
        try:
            await waiting
        except asyncio.CancelledError:
            if _called(waiting):  # it leaves, and another may go
                self._called[scope] -= 1
                self._call(scope, 1)
            raise
        else:
            if waiting.result():
                self._called[scope] -= 1
        finally:
            timer.cancel()
            if not self._called.get(scope, 1):
                del self._called[scope]
            line.pop(waiting, None)
            if not line and self._waiting.get(scope) is line:
                self._disband(scope)

    def limited(self, scope: Scope, seconds: float) -> None:
        """The upstream wants nothing for so many seconds."""
        now = self._clock.now()
        gate = self.kept.get(scope)
        if gate is None:
            self._make_room(now)
            # Eras go on through all gates' lives: what a call reports finds its own gate or none.
            self._era += 2
            gate = Free(era=self._era)
        self._keep(scope, holdoff.limited(gate, now, seconds=min(seconds, MOST_SECONDS)))

    def ended(self, scope: Scope, era: int, *, well: bool) -> None:
        """A call that was let through in `era` ended; `well`: the upstream took it."""
        before = self.kept.get(scope)
        if before is None:
            return
        crowded = bool(self._waiting.get(scope))
        now = self._clock.now()
        gate = holdoff.ended(before, now, era=era, well=well, crowded=crowded)
        if gate is not before:
            self._keep(scope, gate)
            self._call(scope, holdoff.free_places(gate, now))

    def _keep(self, scope: Scope, gate: Gate) -> None:
        self._era = max(self._era, gate.era)
        if isinstance(gate, Free):
            self.kept.pop(scope, None)
        else:
            self.kept[scope] = gate

    def _call(self, scope: Scope, count: int) -> None:
        """Wakes the longest waiting, until so many are awake who have not gone yet."""
        line = self._waiting.get(scope)
        while line and count > self._called.get(scope, 0):
            waiting = next((one for one, batch in line.items() if not batch), next(iter(line)))
            del line[waiting]
            if not waiting.done():
                waiting.set_result(True)
                self._called[scope] = self._called.get(scope, 0) + 1

    def _arm(self, scope: Scope) -> None:
        """While anybody waits, one timer looks after the line: time alone may make room."""
        if scope in self._timers:
            return
        passage = self.look(scope)
        seconds = passage.seconds if isinstance(passage, Wait) else _LOOK_AGAIN
        self._timers[scope] = asyncio.get_running_loop().call_later(
            max(_LEAST_WAIT, seconds), self._due, scope
        )

    def _due(self, scope: Scope) -> None:
        del self._timers[scope]
        if isinstance(self.look(scope), Go):
            gate = self.kept.get(scope)
            self._call(scope, len(self._waiting[scope]) if gate is None else 1)
        if self._waiting.get(scope):
            self._arm(scope)

    def _disband(self, scope: Scope) -> None:
        del self._waiting[scope]
        timer = self._timers.pop(scope, None)
        if timer is not None:
            timer.cancel()

    def _make_room(self, now: float) -> None:
        """Credentials come from callers: what is remembered of them is bounded."""
        if len(self.kept) >= _MOST_GATES:
            for scope in [s for s, gate in self.kept.items() if holdoff.left(gate, now) <= 0]:
                del self.kept[scope]
        if len(self.kept) >= _MOST_GATES:
            self.kept.pop(next(iter(self.kept)))


def _wake(waiting: asyncio.Future[bool]) -> None:
    if not waiting.done():
        waiting.set_result(False)


def _called(waiting: asyncio.Future[bool]) -> bool:
    return waiting.done() and not waiting.cancelled() and waiting.result()
