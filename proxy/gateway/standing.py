"""Is what was asked about still what is stored, so that it may be kept anew?

The law: an answer that confirms is as old as its question. What was purged or replaced since then is not
brought back by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.core.caching import variation
from proxy.core.caching.entry import Entry
from proxy.core.caching.reuse import with_content
from proxy.core.ports import Store

if TYPE_CHECKING:
    from proxy.gateway.fetching import Call
    from proxy.gateway.flight import Flight


async def stands(call: Call, flight: Flight, entry: Entry, *, store: Store, secret: bytes) -> bool:
    """Whether nothing newer has taken this entry's place, nor a purge meant it, since the flight began."""
    if not flight.keeps(entry):
        return False
    there = await store.load(call.key)
    now = variation.matching(
        call.request.headers, there if entry.head_only else with_content(there), secret=secret
    )
    return now is None or now.received <= entry.received
