"""Has an answer been out for so long that a second attempt should begin beside the first?

The law: a hedge begins after the time within which nearly all recent answers came; never before enough
of them are known, and never sooner than `least`. Who is asked, and whether it is paid for, is decided
elsewhere.
"""

from __future__ import annotations

import math

from proxy.core.value import dataclass

ENOUGH = 20  # answers, fewer tell nothing about the slowest in twenty
_MOST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class HedgePolicy:
    """`quantile` of the recent answers' times is waited out, and `least` seconds."""

    quantile: float = 0.95
    least: float = 0.01


@dataclass(frozen=True, slots=True)
class Times:
    """How many seconds the last answers took, the newest last."""

    seconds: tuple[float, ...] = ()


def took(times: Times, seconds: float) -> Times:
    """After an answer; or after an attempt was given up that would have taken longer still."""
    return Times((*times.seconds[-_MOST + 1 :], seconds))


def patience(policy: HedgePolicy, times: Times) -> float | None:
    """Seconds after which a hedge begins; None where none may."""
    known = sorted(times.seconds)
    if len(known) < ENOUGH:
        return None
    return max(policy.least, known[min(len(known), math.ceil(policy.quantile * len(known))) - 1])
