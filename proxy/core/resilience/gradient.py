"""How many calls at once does the upstream bear, as its answering times tell?

The law: while answers come about as fast as they used to, the limit grows by a little headroom; as they
slow down, it shrinks in proportion, and by a tenth at each overload. It is smoothed, never leaves its
bounds, and does not grow while less than half of it is used, for then it was not tried.
"""

from __future__ import annotations

import math

from proxy.core.value import dataclass

_SLOWER = 2.0  # answers may take so many times the usual before the limit shrinks
_SMOOTHING = 0.2  # of each new limit, how much counts
_WINDOW = 600.0  # answers that make up the usual time
_OVERLOADED = 0.9
_LEAST_GRADIENT = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Gradient:
    """`limit` calls at once; `usual` seconds to an answer, None before the first."""

    limit: float = 20.0
    usual: float | None = None


def observe(
    gradient: Gradient, *, seconds: float, under_way: int, overloaded: bool, least: int = 1, most: int = 256
) -> Gradient:
    """After an answer that took so many seconds while `under_way` calls were out, itself counted.

    `overloaded`: it was a timeout, or the upstream said that it has too much to do.
    """
    if overloaded:
        return Gradient(limit=_within(gradient.limit * _OVERLOADED, least, most), usual=gradient.usual)
    usual = seconds if gradient.usual is None else gradient.usual + (seconds - gradient.usual) / _WINDOW
    if usual > _SLOWER * seconds:
        # It was slow for long and has recovered: forget faster.
        usual *= 0.95
    if under_way < gradient.limit / 2:
        return Gradient(limit=_within(gradient.limit, least, most), usual=usual)
    slope = max(_LEAST_GRADIENT, min(1.0, _SLOWER * usual / seconds)) if seconds > 0 else 1.0
    wanted = gradient.limit * slope + math.sqrt(gradient.limit)
    smoothed = gradient.limit * (1 - _SMOOTHING) + wanted * _SMOOTHING
    return Gradient(limit=_within(smoothed, least, most), usual=usual)


def _within(limit: float, least: int, most: int) -> float:
    return max(float(least), min(float(most), limit))
