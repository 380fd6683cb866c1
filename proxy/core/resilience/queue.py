"""Who is under way, who waits for a place, and who is sent away?

The law: at most `most` are under way. Who finds no place waits, first come first served, interactive
callers before batch ones; where as many wait as may, the next is refused at once, but an interactive
caller takes the place in the queue of the batch caller who came last.
"""

from __future__ import annotations

from enum import StrEnum

from proxy.core.value import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePolicy:
    """`most` calls under way, `most_waiting` in the queue. `adaptive`: `most` is found out, see gradient."""

    most: int = 256
    most_waiting: int = 1024
    adaptive: bool = False


class Priority(StrEnum):
    """What the caller says of itself in Leeward-Priority."""

    INTERACTIVE = "interactive"
    BATCH = "batch"


def priority(text: str | None) -> Priority:
    """Of the field's value; who says nothing known is interactive."""
    said = "" if text is None else text.strip().lower()
    return Priority.BATCH if said == Priority.BATCH else Priority.INTERACTIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """`under_way` counts; the tuples hold the tickets of who waits, the longest waiting first."""

    under_way: int = 0
    interactive: tuple[int, ...] = ()
    batch: tuple[int, ...] = ()

    @property
    def waiting(self) -> int:
        return len(self.interactive) + len(self.batch)


@dataclass(frozen=True, slots=True, kw_only=True)
class Enter:
    """Under way at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """In the queue; `displaced` is the ticket of who is refused for it."""

    displaced: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Full:
    """Refused."""


_ENTER, _STAND, _FULL = Enter(), Stand(), Full()


def arrive(
    policy: QueuePolicy, line: Line, ticket: int, *, as_: Priority, most: int | None = None
) -> tuple[Enter | Stand | Full, Line]:
    """A newcomer. `ticket` is unused so far; `most` overrides the policy's where it is adaptive."""
    room = policy.most if most is None else most
    if line.under_way < room and not line.waiting:
        return _ENTER, Line(under_way=line.under_way + 1)
    batch = as_ is Priority.BATCH
    if line.waiting < policy.most_waiting:
        if batch:
            return _STAND, _line(line, batch=(*line.batch, ticket))
        return _STAND, _line(line, interactive=(*line.interactive, ticket))
    if batch or not line.batch:
        return _FULL, line
    *kept, displaced = line.batch
    return Stand(displaced=displaced), Line(
        under_way=line.under_way, interactive=(*line.interactive, ticket), batch=tuple(kept)
    )


def leave(policy: QueuePolicy, line: Line, *, most: int | None = None) -> tuple[tuple[int, ...], Line]:
    """One who was under way is done; the tickets of who goes now, already counted as under way."""
    room = policy.most if most is None else most
    under_way = max(0, line.under_way - 1)
    free = max(0, room - under_way)
    called = (*line.interactive, *line.batch)[:free]
    taken = len(line.interactive[:free])
    return called, Line(
        under_way=under_way + len(called),
        interactive=line.interactive[taken:],
        batch=line.batch[len(called) - taken :],
    )


def give_up(line: Line, ticket: int) -> Line:
    """One who waited has left."""
    return Line(
        under_way=line.under_way,
        interactive=tuple(t for t in line.interactive if t != ticket),
        batch=tuple(t for t in line.batch if t != ticket),
    )


def _line(
    line: Line, *, interactive: tuple[int, ...] | None = None, batch: tuple[int, ...] | None = None
) -> Line:
    return Line(
        under_way=line.under_way,
        interactive=line.interactive if interactive is None else interactive,
        batch=line.batch if batch is None else batch,
    )
