"""Which of an upstream's endpoints is asked next?

The law: one whose circuit is open is not asked at all, and one that its check found ill only where all
are. One that has not failed this request goes before those that have. Among equals the order of the
configuration decides, or each has its turn. An endpoint to which no connection could be had is left
alone at once where another may be asked; the last one only by its failure ratio.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from proxy.core.value import dataclass


class Balance(StrEnum):
    """Who is first among endpoints that are well."""

    IN_ORDER = "in_order"
    ROUND_ROBIN = "round_robin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One endpoint as one request sees it.

    `rests`: seconds for which its circuit lets nothing through, None where it lets. `failed`: how many
    attempts of this request have failed there, or are under way.
    """

    rests: float | None = None
    ill: bool = False
    failed: int = 0


def choose(standings: Sequence[Standing], *, first: int = 0) -> int | None:
    """Whom to ask, by its place in the configuration, from place `first` on; None where nobody may be."""
    count = len(standings)
    open_to = [place for place, standing in enumerate(standings) if standing.rests is None]
    return min(
        open_to,
        key=lambda place: (standings[place].ill, standings[place].failed, (place - first) % count),
        default=None,
    )


def rest(standings: Sequence[Standing]) -> float | None:
    """Seconds until the first of them may be asked; None where one may be now."""
    rests = [standing.rests for standing in standings if standing.rests is not None]
    return min(rests) if rests and len(rests) == len(standings) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckPolicy:
    """Every `interval` seconds each endpoint is asked for `path`; below 400 within `timeout` is well.

    So many in a row, `unhealthy_after` or `healthy_after`, change what it is taken for.
    """

    path: str
    interval: float = 10.0
    timeout: float = 2.0
    unhealthy_after: int = 3
    healthy_after: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What an endpoint is taken for, and how many checks in a row have said otherwise."""

    ill: bool = False
    otherwise: int = 0


def checked(policy: CheckPolicy, health: Health, *, well: bool) -> Health:
    """The health after a check."""
    if well != health.ill:  # it is as it was taken to be
        return Health(ill=health.ill)
    enough = policy.healthy_after if health.ill else policy.unhealthy_after
    if health.otherwise + 1 >= enough:
        return Health(ill=not health.ill)
    return Health(ill=health.ill, otherwise=health.otherwise + 1)
