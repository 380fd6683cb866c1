"""May a stale answer stand in for an origin that fails? (RFC 9111 §4.2.4, RFC 5861 §4)

The law: never against the origin's `no-cache`, `must-revalidate` and their kin, nor the caller's wish
for a validated answer. Where the origin or the operator said how long after its end an answer may stand
in, that counts, for an origin that is gone and for one that answers 500, 502, 503 or 504. Where nobody
said anything, only an origin that is gone is stood in for, and for an hour at most. One that wants no
calls for now counts as gone, for whom its 429 meets as for those whom it holds off.
"""

from __future__ import annotations

from proxy.core.caching import directives as directive
from proxy.core.caching.entry import Entry
from proxy.core.caching.reuse import Stale
from proxy.core.exchange import Exchange
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
    of_status,
)
from proxy.core.message import Request, Response
from proxy.core.reason import Reason
from proxy.core.resilience.wait import told

UNSAID_MOST = 3600.0  # seconds
_FAILING = frozenset({500, 502, 503, 504})
# No answer could be had at all; whether the request was sent makes no difference to a stored answer.
_GONE = (CircuitOpenError, ConnectError, DeadlineExceededError, UpstreamProtocolError, UpstreamTimeoutError)
# It wants no calls for now or has enough of them.
_SPARED = (RateLimitError, OverloadedError)
_FAILED = (ServerError, UnavailableError)
_TOO_MANY = 429
_VALIDATED = frozenset({"no-cache", "max-age", "min-fresh"})


_HELD_OFF = RateLimitError()


def spares(request: Request, entry: Entry | None, now: float) -> bool:
    """Whether `entry` may be served where an upstream wants no calls, so that waiting is not worth it."""
    return stand_in(request, entry, now, failed=_HELD_OFF) is not None


def instead(
    request: Request, entry: Entry | None, answer: Response, exchange: Exchange, *, now: float, wall: float
) -> APIError | None:
    """The failure that this answer is, where `entry` may be served instead; None where it may not."""
    held_off = _holds_off(answer, exchange, wall)
    failure = RateLimitError if held_off else of_status(answer.status)
    stale = stand_in(request, entry, now, failed=_HELD_OFF if held_off else answer.status)
    return None if stale is None or failure is None else failure(status=answer.status, sent=True)


def _holds_off(answer: Response, exchange: Exchange, wall: float) -> bool:
    """Whether it says from when on it may be asked again, or others were told so meanwhile."""
    if exchange.attempts and exchange.attempts[-1].reason is Reason.HOLD_OFF:
        return True
    fault = answer.fault
    if (answer.status if fault is None else fault.meant) != _TOO_MANY:
        return False
    return bool(told(answer.headers, wall, limited=True) or (fault is not None and fault.wait))


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
