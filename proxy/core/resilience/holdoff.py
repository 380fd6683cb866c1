"""Does the upstream want to be left alone for now?

The law: one answer that limits and names a time closes the gate for all calls of the same credential
and quota bucket until that time; a later answer may put the time off, none brings it forward. Then one
call goes through, and the others wait for what becomes of it. Each good answer lets one more be under
way at once, so those who waited come back as a growing trickle, not as a wave; when enough are, and
nobody waits any more, the gate stands open again. Where answers are slow, time lets more through.
"""

from __future__ import annotations

from typing import assert_never

from proxy.core.resilience.passage import GO, Go, Wait
from proxy.core.value import dataclass

FREE_AT = 32  # calls under way at once; where so many are well received, nothing is held back any more
PATIENCE = 1.0  # seconds without news after which one more call may be under way


@dataclass(frozen=True, slots=True, kw_only=True)
class Free:
    """Nothing is held back."""

    era: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shut:
    """Until the monotonic second `until` nothing goes."""

    era: int
    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trickle:
    """At most `room` calls are under way at once, `under_way` are; the last news came at `since`."""

    era: int
    room: int
    under_way: int
    since: float


Gate = Free | Shut | Trickle


def permit(gate: Gate, now: float) -> tuple[Go | Wait, Gate]:
    """Whether a call may go, as of the monotonic second `now`."""
    match gate:
        case Free(era=era):
            return (Go(era=era) if era else GO), gate
        case Shut(until=until, era=era):
            if now < until:
                return Wait(seconds=until - now), gate
            return Go(era=era + 1), Trickle(era=era + 1, room=1, under_way=1, since=now)
        case Trickle(era=era, under_way=under_way, since=since):
            if under_way < _room(gate, now):
                return Go(era=era), _trickle(gate, under_way=under_way + 1)
            return Wait(seconds=_patience(gate, now) - (now - since)), gate
        case _:
            assert_never(gate)


def limited(gate: Gate, now: float, *, seconds: float) -> Gate:
    """The upstream wants nothing for so many seconds. Whenever that call was let through, it is news."""
    until = now + seconds
    if seconds <= 0:
        return gate
    if isinstance(gate, Shut):
        return Shut(era=gate.era, until=max(gate.until, until))
    return Shut(era=gate.era + 1, until=until)


def ended(gate: Gate, now: float, *, era: int, well: bool, crowded: bool = False) -> Gate:
    """A call that was let through in `era` ended; `well`: the upstream took it.

    `crowded`: others wait, who would all come at once if the gate stood open.
    """
    match gate:
        case Free() | Shut():
            return gate
        case Trickle():
            if era != gate.era:
                return gate
            left = max(0, gate.under_way - 1)
            if not well:
                return _trickle(gate, under_way=left)
            if gate.room + 1 >= FREE_AT and not crowded:
                return Free(era=gate.era + 1)
            return Trickle(era=gate.era, room=gate.room + 1, under_way=left, since=now)
        case _:
            assert_never(gate)


def free_places(gate: Gate, now: float) -> int:
    """How many calls may go at this moment; the gate is not open."""
    match gate:
        case Free():
            return FREE_AT
        case Shut(until=until):
            return 0 if now < until else 1
        case Trickle():
            return max(0, _room(gate, now) - gate.under_way)
        case _:
            assert_never(gate)


def left(gate: Gate, now: float) -> float:
    """Seconds until the next call may go as far as that is known; 0.0 where nothing is held back."""
    match gate:
        case Free():
            return 0.0
        case Shut(until=until):
            return max(0.0, until - now)
        case Trickle():
            return 0.0
        case _:
            assert_never(gate)


def _trickle(gate: Trickle, *, under_way: int) -> Trickle:
    return Trickle(era=gate.era, room=gate.room, under_way=under_way, since=gate.since)


def _room(gate: Trickle, now: float) -> int:
    return gate.room + int((now - gate.since) / PATIENCE)


def _patience(gate: Trickle, now: float) -> float:
    """Seconds after `since` at which there is room for one more than are under way."""
    return PATIENCE * (max(gate.under_way, _room(gate, now)) - gate.room + 1)
