"""Is another process already fetching this?

The law: of all processes that share a store one fetches, and the others look into the store when it has
ended. They fetch for themselves where that takes longer than PATIENCE, or where what is fetched cannot be
in the store. Who gets the turn looks once more too: between its first look and its turn another process
may have had one.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from proxy.core.caching.reuse import Hit, reuse
from proxy.core.ports import Clock, Store, Turn, Turns

if TYPE_CHECKING:
    from proxy.core.caching.entry import Entry
    from proxy.gateway.fetching import Call
    from proxy.gateway.flight import Flight

PATIENCE = 10.0  # seconds; longer than most answers take, shorter than most callers wait


async def elsewhere(
    call: Call, flight: Flight, *, turns: Turns, store: Store, clock: Clock, secret: bytes
) -> Entry | None:
    """What another process has fetched meanwhile, good for this call. None = fetch it.

    A flight that got the turn keeps it until it is closed.
    """
    limit = min(clock.now() + PATIENCE, inf if call.exchange.deadline is None else call.exchange.deadline)
    while not flight.has_turn:
        turn = await turns.take(flight.id, max(0.0, limit - clock.now()))
        if turn is Turn.ALONE:
            return None
        if turn is Turn.MINE:
            flight.take_turn(lambda shared: turns.end(flight.id, shared=shared))
        found = reuse(call.request, await store.load(call.key), clock.now(), secret=secret)
        if isinstance(found, Hit):
            return found.entry
    return None
