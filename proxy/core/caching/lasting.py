"""Would the very same request, sent again, get the same stored answer without being decided about?

The law: it would while the entry is fresh and nothing else is kept under its key; and only a request that
says nothing about time, ranges or conditions, for an answer that says nothing of them either. Fields that
differ from request to request although they mean the same (PASSING) may differ, unless an answer is varied
or keyed by one. Whoever repeats an answer asks whether the entries are still those that were chosen from.
"""

from __future__ import annotations

from collections.abc import Sequence

from proxy.core.caching.entry import Entry
from proxy.core.failure import of_status
from proxy.core.message import Request
from proxy.core.routing import Route

# Lower-case names. They say which request it is, not what is asked.
PASSING = frozenset({"traceparent", "x-request-id"})

_DECIDED_ANEW = frozenset(
    {
        *("cache-control", "pragma", "range", "if-range", "if-match", "if-none-match"),
        *("if-modified-since", "if-unmodified-since", "idempotency-key"),
    }
)
_METHODS = frozenset({"GET", "HEAD"})


def lasts(request: Request, route: Route, entries: Sequence[Entry], entry: Entry) -> bool:
    """Whether a fresh hit on `entry`, chosen from `entries`, answers the same request until it is stale."""
    # What the upstream is told of a caller's address is part of the request, and of its key.
    if route.forwarded:
        return False
    if request.method not in _METHODS or request.body.length != 0 or entry.span is not None:
        return False
    if not request.headers.names().isdisjoint(_DECIDED_ANEW):
        return False
    # A stored failure is told anew each time: its document names the request.
    if of_status(entry.status) is not None:
        return False
    told_apart = {*route.cache.key.headers, *(name for other in entries for name in other.vary)}
    return PASSING.isdisjoint(told_apart)


def until(entry: Entry) -> float:
    """The monotonic time at which the entry is stale."""
    return entry.received + entry.lifetime - entry.initial_age


def turns(age: float, ttl: float) -> float:
    """Seconds until an age, or what is left of a freshness, is another whole number; at most 1."""
    return min(1.0 - age % 1.0, ttl % 1.0 or 1.0)
