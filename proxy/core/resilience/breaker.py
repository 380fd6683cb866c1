"""Is an upstream given a rest?

The law: calls pass while the circuit is closed; when of enough calls in the window too many failed by
the upstream's fault, it opens, and for a while none passes. Then, half open, one call at a time tries:
its success closes the circuit, its failure opens it anew, and one that says nothing (its caller left)
lets the next one try. The transitions are a table. A caller's own mistake, 4xx, is a sign of life.
Each endpoint of an upstream has its own circuit.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import assert_never

from proxy.core.failure import APIError, ConnectError, UpstreamProtocolError, UpstreamTimeoutError
from proxy.core.resilience.passage import Go, Refuse
from proxy.core.value import dataclass

_SLOTS = 10
_FIRST_SERVER_FAILURE = 500
_NOT_IMPLEMENTED = 501  # says what the upstream is, not how it is
_FAULTS = (ConnectError, UpstreamProtocolError, UpstreamTimeoutError)
_SOON = 1.0  # seconds; what a refused caller is told while a probe is under way


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPolicy:
    """Opens for `open_for` seconds when of `min_requests` or more in `window` seconds so many failed."""

    failure_ratio: float = 0.5
    min_requests: int = 20
    window: float = 30.0
    open_for: float = 15.0


class News(StrEnum):
    """What a call's end says about the upstream."""

    ALIVE = "alive"
    FAULT = "fault"
    GONE = "gone"  # no connection could be had, and another endpoint may be asked instead
    NOTHING = "nothing"


def news(cause: APIError | int | None, *, elsewhere: bool = False) -> News:
    """Of a status or a failure; None = the caller left before either.

    `elsewhere`: another endpoint of the upstream may be asked.
    """
    match cause:
        case int() as status:
            fault = status >= _FIRST_SERVER_FAILURE and status != _NOT_IMPLEMENTED
            return News.FAULT if fault else News.ALIVE
        case ConnectError(sent=False) if elsewhere:
            return News.GONE
        case APIError():
            return News.FAULT if isinstance(cause, _FAULTS) else News.NOTHING
        case None:
            return News.NOTHING
        case _:
            assert_never(cause)


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """`counts` are (calls, faults) of the last slots of the window, the newest first, in slot `slot`."""

    era: int = 0
    slot: int = 0
    counts: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """Until the monotonic second `until`."""

    era: int
    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HalfOpen:
    """`probing` since that monotonic second; None = the next call is the probe."""

    era: int
    probing: float | None = None


Circuit = Closed | Open | HalfOpen


def permit(policy: BreakerPolicy, circuit: Circuit, now: float) -> tuple[Go | Refuse, Circuit]:
    """Whether a call may pass, as of the monotonic second `now`."""
    match circuit:
        case Closed(era=era):
            return Go(era=era), circuit
        case Open(until=until, era=era):
            if now < until:
                return Refuse(seconds=until - now), circuit
            return Go(era=era + 1), HalfOpen(era=era + 1, probing=now)
        case HalfOpen(era=era, probing=probing):
            # A probe whose end is never told must not hold the door for ever.
            if probing is None or now - probing >= policy.open_for:
                return Go(era=era), HalfOpen(era=era, probing=now)
            return Refuse(seconds=_SOON), circuit
        case _:
            assert_never(circuit)


def report(policy: BreakerPolicy, circuit: Circuit, told: News, now: float, *, era: int) -> Circuit:
    """The circuit after a call ended that was permitted in `era`."""
    return circuit if era != circuit.era else _TABLE[type(circuit), told](policy, circuit, told, now)


def well(policy: BreakerPolicy, circuit: Circuit, now: float, *, era: int) -> Circuit:
    """As `report`, of a success; the most frequent news of all."""
    if isinstance(circuit, Closed) and era == circuit.era:
        return _with(policy, circuit, News.ALIVE, now)
    return report(policy, circuit, News.ALIVE, now, era=era)


def _same(_policy: BreakerPolicy, circuit: Circuit, _told: News, _now: float) -> Circuit:
    return circuit


def _opened(policy: BreakerPolicy, circuit: Circuit, _told: News, now: float) -> Circuit:
    return Open(era=circuit.era + 1, until=now + policy.open_for)


def _closed(_policy: BreakerPolicy, circuit: Circuit, _told: News, _now: float) -> Circuit:
    return Closed(era=circuit.era + 1)


def _free(_policy: BreakerPolicy, circuit: Circuit, _told: News, _now: float) -> Circuit:
    return HalfOpen(era=circuit.era)


def _counted(policy: BreakerPolicy, circuit: Circuit, told: News, now: float) -> Circuit:
    counted = _with(policy, circuit, told, now) if isinstance(circuit, Closed) else Closed(era=circuit.era)
    if told is not News.FAULT:
        return counted
    calls = sum(count for count, _ in counted.counts)
    faults = sum(count for _, count in counted.counts)
    too_many = calls >= policy.min_requests and faults >= policy.failure_ratio * calls
    return _opened(policy, circuit, told, now) if too_many else counted


def _with(policy: BreakerPolicy, circuit: Closed, told: News, now: float) -> Closed:
    slot = int(now // (policy.window / _SLOTS))
    kept = circuit.counts
    if slot > circuit.slot:
        kept = ((0, 0),) * min(_SLOTS, slot - circuit.slot) + kept
    calls, faults = kept[0] if kept else (0, 0)
    newest = (calls + 1, faults + (told is News.FAULT))
    return Closed(era=circuit.era, slot=max(slot, circuit.slot), counts=(newest, *kept[1:_SLOTS]))


_Transition = Callable[[BreakerPolicy, Circuit, News, float], Circuit]

_TABLE: dict[tuple[type[Circuit], News], _Transition] = {
    (Closed, News.ALIVE): _counted,
    (Closed, News.FAULT): _counted,
    (Closed, News.GONE): _opened,
    (Closed, News.NOTHING): _same,
    # Nothing is permitted in an open circuit's era: whatever is told there is old.
    (Open, News.ALIVE): _same,
    (Open, News.FAULT): _same,
    (Open, News.GONE): _same,
    (Open, News.NOTHING): _same,
    (HalfOpen, News.ALIVE): _closed,
    (HalfOpen, News.FAULT): _opened,
    (HalfOpen, News.GONE): _opened,
    (HalfOpen, News.NOTHING): _free,
}
