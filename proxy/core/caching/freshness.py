"""For how long may an answer be used without asking, and how old is it already? (RFC 9111 §4.2)

The law: what the operator fixed goes first, then what the origin says, then what the operator said for
silent answers, then what HTTP lets a cache guess. What the origin says wrongly means stale. Age comes
from the origin's Age and the time its answer took, both of which no wrong wall clock can change.
"""

from __future__ import annotations

from enum import StrEnum

from proxy.core.caching import syntax
from proxy.core.caching.directives import Directives
from proxy.core.caching.events import is_stream
from proxy.core.caching.policy import CachePolicy, Scope
from proxy.core.message import Headers
from proxy.core.value import dataclass

# RFC 9110 §15.1: an answer with one of these may be kept without being told for how long.
HEURISTIC_STATUSES = frozenset({200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501})

_OK = 200
FIRST_FAILURE = 400
_HEURISTIC_PART = 0.1  # RFC 9111 §4.2.2 calls a tenth of the time since the last change typical
_HEURISTIC_MOST = 3600.0


class Source(StrEnum):
    """Who settled the lifetime."""

    OVERRIDE = "override_ttl"
    ORIGIN = "origin"
    NEGATIVE = "negative_ttl"
    DEFAULT = "default_ttl"
    HEURISTIC = "heuristic"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetime:
    """Seconds since the origin made the answer, and who said so."""

    seconds: float
    source: Source


def lifetime(
    status: int, headers: Headers, directives: Directives, *, policy: CachePolicy, age: float, wall: float
) -> Lifetime:
    """How long an answer of `age` seconds stays fresh, counted from its origin.

    What the operator sets counts from now, so the age that the answer arrived with is added to it.
    `wall` is now, for HTTP dates.
    """
    if policy.override_ttl is not None and _OK <= status < FIRST_FAILURE:
        return Lifetime(seconds=policy.override_ttl + age, source=Source.OVERRIDE)
    said = explicit(headers, directives, policy.scope, wall)
    if said is not None:
        return Lifetime(seconds=said, source=Source.ORIGIN)
    # A stream of events is live unless somebody says otherwise of this very answer.
    if "no-cache" not in directives and not is_stream(headers):
        negative = policy.negative_ttl.get(status)
        if negative is not None:
            return Lifetime(seconds=negative + age, source=Source.NEGATIVE)
        if status == _OK and policy.default_ttl > 0:
            return Lifetime(seconds=policy.default_ttl + age, source=Source.DEFAULT)
        guessed = heuristic(status, headers, directives, wall)
        if guessed > 0:
            return Lifetime(seconds=guessed, source=Source.HEURISTIC)
    return Lifetime(seconds=0.0, source=Source.NOBODY)


def explicit(headers: Headers, directives: Directives, scope: Scope, wall: float) -> float | None:
    """What the origin says, None where it says nothing (§4.2.1).

    In a shared cache s-maxage replaces max-age. One that serves a single credential may keep what any
    shared cache may, so s-maxage speaks to it as well; where max-age says less, less counts.
    """
    shared, private = directives.seconds("s-maxage"), directives.seconds("max-age")
    if shared is not None and (scope is Scope.SHARED or private is None):
        return float(shared)
    if private is not None:
        return float(private if shared is None else min(shared, private))
    expires = headers.all("expires")
    if directives.targeted or not expires:
        return None
    until = syntax.instant(expires[0], wall) if len(expires) == 1 else None
    return 0.0 if until is None else max(0.0, until - dated(headers, wall))


def heuristic(status: int, headers: Headers, directives: Directives, wall: float) -> float:
    """A tenth of the time since the last change, at most an hour; 0 where nothing may be guessed."""
    if status not in HEURISTIC_STATUSES and "public" not in directives:
        return 0.0
    changed = syntax.instant(headers.get("last-modified") or "", wall)
    if changed is None:
        return 0.0
    return min(_HEURISTIC_MOST, max(0.0, (dated(headers, wall) - changed) * _HEURISTIC_PART))


def dated(headers: Headers, wall: float) -> float:
    """The answer's Date, or now where it has none that can be read (RFC 9110 §6.6.1)."""
    date = syntax.instant(headers.get("date") or "", wall)
    return wall if date is None else date


def initial_age(headers: Headers, *, sent: float, received: float) -> float:
    """The age at arrival: the Age it came with and the time it took (§4.2.3), in seconds.

    Of several values the first counts; what is no number of seconds counts as none (§5.1).
    """
    text = headers.get("age")
    given = syntax.seconds(text.partition(",")[0].strip()) if text is not None else None
    return float(given or 0) + max(0.0, received - sent)
