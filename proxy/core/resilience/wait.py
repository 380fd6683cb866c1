"""How long does the upstream ask to wait, and how long would we wait by ourselves?

The law: what a server says is waited out in full, plus a little, never less; what it does not say is
drawn evenly from nothing up to a bound that grows (full jitter). A text that is no time says nothing.
"""

from __future__ import annotations

import math

from proxy.core.message import Headers
from proxy.core.resilience import quota, resets

# Finer than Retry-After's whole seconds, so they are asked first.
_MILLISECONDS = ("retry-after-ms", "x-ms-retry-after-ms")

# What is added to a told wait, so that callers told the same do not come back in the same instant.
_LEAST_SPREAD = 0.05
_SPREAD = 0.1
_MOST_SPREAD = 1.0


def told(headers: Headers, wall: float, *, limited: bool = False) -> float | None:
    """Seconds that the upstream says to wait, 0.0 or more; None where it says nothing readable.

    Understood are `retry-after-ms`, `x-ms-retry-after-ms` and `Retry-After` as seconds, also with a
    fraction, or as an HTTP-date in each of its three forms (RFC 9110 §10.2.3); where it is none of these, as
    anything by which a reset is told, such as seconds since 1970. Of an answer that is
    `limited` (429) and says none of these, the reset of the quota that is used up.
    """
    names = headers.names()
    for name in _MILLISECONDS:
        if name in names:
            number = resets.read(headers.get(name), wall, "delta")
            if number is not None:
                return number / 1000
    after = resets.read(headers.get("retry-after"), wall)
    if after is not None:
        return after
    return quota.reset(headers, wall) if limited else None


def spread(seconds: float, chance: float) -> float:
    """A told wait with a small positive jitter: a tenth of it, between 50 ms and 1 s."""
    return seconds + chance * min(_MOST_SPREAD, max(_LEAST_SPREAD, _SPREAD * seconds))


def backoff(*, initial: float, factor: float, most: float, attempt: int, chance: float) -> float:
    """Full jitter: anything from 0 to initial x factor^(attempt - 1), at most `most`; seconds."""
    try:
        bound = initial * math.pow(factor, attempt - 1)
    except OverflowError:
        bound = most
    return chance * min(most, bound)
