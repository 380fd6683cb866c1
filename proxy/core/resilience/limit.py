"""When may the next call go, so that no more than so many go in a time? (GCRA)

The law: each call is due an interval after the one before; who comes early may go while no more than
`burst` are ahead of their due times, and otherwise waits for its own turn, in order. Who would wait
longer than allowed takes no turn. In any time T no more than `burst` + T / interval go. Batch calls use
half of the burst and half of the wait, so that they never take the last turn before others.
"""

from __future__ import annotations

from proxy.core.resilience.passage import GO, Go, Refuse, Wait
from proxy.core.value import dataclass

_NEARLY = 1e-9  # seconds; sums of intervals are not exact


@dataclass(frozen=True, slots=True, kw_only=True)
class RatePolicy:
    """`requests` per `per` seconds, `burst` of them at once; `max_wait` seconds of waiting for a turn."""

    requests: int
    per: float = 60.0
    burst: int = 1
    max_wait: float = 5.0

    @property
    def interval(self) -> float:
        return self.per / self.requests


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """The monotonic second at which the call after all that have a turn would be due."""

    due: float = float("-inf")


def take(
    policy: RatePolicy, turns: Turns, now: float, *, patience: float, batch: bool = False
) -> tuple[Go | Wait | Refuse, Turns]:
    """A turn for one call: now, or after so many seconds; then it goes without asking again.

    `patience`: seconds that its caller has.
    """
    due, share = max(turns.due, now), 0.5 if batch else 1.0
    at_once = (policy.burst - 1) * policy.interval  # so far ahead of its due time one may go
    wait = due - at_once - now
    too_long = due - now - share * at_once
    if too_long > min(share * policy.max_wait, patience) + _NEARLY:
        return Refuse(seconds=too_long), turns
    after = Turns(due=due + policy.interval)
    return (Wait(seconds=wait) if wait > _NEARLY else GO), after


def give_back(policy: RatePolicy, turns: Turns, now: float) -> Turns:
    """One who waited for its turn has left: everybody after it could go an interval earlier.

    Those who wait already keep their times; the next to come gets the turn.
    """
    return Turns(due=max(now, turns.due - policy.interval)) if turns.due > now else turns
