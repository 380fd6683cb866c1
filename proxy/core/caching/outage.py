"""May a stale answer stand in for an origin that fails? (RFC 9111 §4.2.4, RFC 5861 §4)

The law: never against the origin's `no-cache`, `must-revalidate` and their kin, nor the caller's wish
for a validated answer. Where the origin or the operator said how long after its end an answer may stand
in, that counts, for an origin that is gone and for one that answers 500, 502, 503 or 504. Where nobody
said anything, only an origin that is gone is stood in for, and for an hour at most.
"""

from __future__ import annotations

from proxy.core.caching import directives as directive
from proxy.core.caching.entry import Entry
from proxy.core.caching.reuse import Stale
from proxy.core.failure import (
    APIError,
    CircuitOpenError,
    ConnectError,
    DeadlineExceededError,
    OverloadedError,
    RateLimitError,
    ServerError,
    UnavailableError,
    UpstreamProtocolError,
    UpstreamTimeoutError,
)
from proxy.core.message import Request
from proxy.core.reason import Reason

UNSAID_MOST = 3600.0  # seconds
_FAILING = frozenset({500, 502, 503, 504})
# No answer could be had at all; whether the request was sent makes no difference to a stored answer.
_GONE = (CircuitOpenError, ConnectError, DeadlineExceededError, UpstreamProtocolError, UpstreamTimeoutError)
# It was not asked, for it wants no calls for now or has enough of them: our own verdicts, never answers.
_SPARED = (RateLimitError, OverloadedError)
_FAILED = (ServerError, UnavailableError)
_VALIDATED = frozenset({"no-cache", "max-age", "min-fresh"})


_HELD_OFF = RateLimitError()


def spares(request: Request, entry: Entry | None, now: float) -> bool:
    """Whether `entry` may be served where an upstream wants no calls, so that waiting is not worth it."""
    return stand_in(request, entry, now, failed=_HELD_OFF) is not None


def stand_in(request: Request, entry: Entry | None, now: float, *, failed: APIError | int) -> Stale | None:
    """Serving `entry` instead of a failure, or of an answer with this status; None where it may not."""
    if entry is None or entry.validate or entry.strict or entry.span is not None:
        return None
    spared = isinstance(failed, _SPARED)
    gone = spared or isinstance(failed, _GONE)
    if entry.status in _FAILING or not (gone or isinstance(failed, _FAILED) or failed in _FAILING):
        return None
    most = entry.stale_if_error if entry.stale_if_error is not None else UNSAID_MOST if gone else 0.0
    asked = directive.of_request(request.headers)
    patience = asked.patience()
    if patience is not None:
        most = min(most, patience)
    if any(wish in asked for wish in _VALIDATED) or -entry.ttl(now) >= most:
        return None
    if spared:
        return Stale(entry=entry, reason=Reason.HOLD_OFF)
    return Stale(entry=entry, reason=Reason.ORIGIN_GONE if gone else Reason.IF_ERROR)
