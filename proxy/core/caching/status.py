"""How is it told what the cache did? (RFC 9211)

Cache-Status is appended as a line of its own, so the list that the upstream's caches began stays whole.
"""

from __future__ import annotations

import math

from proxy.core.reason import Reason

NAME = "Cache-Status"
_WHO = "leeward"

# The forward reasons that RFC 9211 §2.2 knows; what is finer stands in `detail`.
_FORWARDED: dict[Reason, str] = {
    Reason.URI_MISS: "uri-miss",
    Reason.VARY_MISS: "vary-miss",
    Reason.PART_MISS: "partial",
    Reason.EXPIRED: "stale",
    Reason.NO_CACHE: "stale",
    Reason.METHOD: "method",
    Reason.REQUEST_NO_CACHE: "request",
    Reason.REQUEST_NO_STORE: "request",
    Reason.REQUEST_MAX_AGE: "request",
    Reason.REQUEST_MIN_FRESH: "request",
}


def hit(ttl: float, reason: Reason = Reason.FRESH) -> str:
    """Served from the store; `ttl` in seconds, negative where it is stale."""
    detail = "" if reason is Reason.FRESH else f"; detail={reason}"
    return f"{_WHO}; hit; ttl={_whole(ttl)}{detail}"


def forwarded(
    reason: Reason,
    *,
    status: int | None = None,
    ttl: float | None = None,
    stored: bool = False,
    collapsed: bool = False,
    detail: Reason | None = None,
) -> str:
    """Asked upstream, or served from another request's asking (`collapsed`).

    `reason` is why; `status` the upstream's; `detail` why it was not stored, for instance.
    """
    fwd = _FORWARDED.get(reason, "bypass")
    parts = [_WHO, f"fwd={fwd}"]
    if status is not None:
        parts.append(f"fwd-status={status}")
    if stored:
        parts.append("stored")
    if collapsed:
        parts.append("collapsed")
    if ttl is not None:
        parts.append(f"ttl={_whole(ttl)}")
    finer = detail or reason
    if finer != fwd:
        parts.append(f"detail={finer}")
    return "; ".join(parts)


def failed(reason: Reason) -> str:
    """No answer was to be had, neither from the store nor from the upstream."""
    match reason:
        case Reason.ONLY_IF_CACHED | Reason.KEY_REUSED:
            return f"{_WHO}; detail={reason}"
        case Reason.COALESCED:
            return f"{_WHO}; fwd=miss; collapsed; detail={reason}"
        case _:
            return forwarded(reason)


def _whole(ttl: float) -> int:
    # Age counts whole seconds down, so what is left counts up, and both make the lifetime; but rounding
    # must not call a stale answer fresh. An sf-integer has at most 15 digits.
    whole = math.ceil(min(ttl, 1e15)) if ttl > 0 else math.floor(max(ttl, -1e15))
    return max(-(10**15) + 1, min(10**15 - 1, whole))
