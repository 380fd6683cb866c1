"""May a stored answer serve this request? (RFC 9111 §4)

The law: first what the request forbids, then which stored answer it selects, then whether that one is
fresh enough for origin and caller alike. Stale is served only where both allow it. The request
directives can make reuse rarer but never wider than the origin's `no-cache` and `must-revalidate`.
"""

from __future__ import annotations

from collections.abc import Sequence

from proxy.core.caching import directives as directive
from proxy.core.caching import ranges, variation
from proxy.core.caching.directives import Directives
from proxy.core.caching.entry import Entry
from proxy.core.caching.key import Bypass
from proxy.core.message import Request
from proxy.core.reason import Reason
from proxy.core.value import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """Serve it: it is fresh."""

    entry: Entry
    reason: Reason = Reason.FRESH


@dataclass(frozen=True, slots=True, kw_only=True)
class Stale:
    """Serve it although it is stale; `refresh`: and fetch a new one behind the caller's back."""

    entry: Entry
    reason: Reason
    refresh: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Revalidate:
    """Ask the origin whether it is still right."""

    entry: Entry
    reason: Reason

    @property
    def stored(self) -> Entry:
        return self.entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """Fetch it. `stored` is what would have served, had it been fresh; it may stand in for a failure.

    `missing`: it is a part, and these bytes of it (first, last) are all that is missing.
    """

    reason: Reason
    stored: Entry | None = None
    missing: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """Neither serve nor fetch: the caller wants a stored answer only."""

    reason: Reason = Reason.ONLY_IF_CACHED


Decision = Hit | Stale | Revalidate | Miss | Bypass | Refuse


def reuse(request: Request, entries: Sequence[Entry], now: float, *, secret: bytes) -> Decision:
    """What to do with the entries kept under the request's key, newest first."""
    asked = directive.of_request(request.headers)
    decision = _decide(request, entries, now, asked, secret)
    if "only-if-cached" in asked and not isinstance(decision, Hit | Stale):
        return Refuse()
    return decision


def _decide(
    request: Request, entries: Sequence[Entry], now: float, asked: Directives, secret: bytes
) -> Decision:
    if "no-store" in asked:
        return Bypass(reason=Reason.REQUEST_NO_STORE)
    if request.method != "HEAD":
        entries = with_content(entries)
    entry = variation.matching(request.headers, entries, secret=secret)
    if entry is None:
        absent = Reason.VARY_MISS if entries else Reason.URI_MISS
        return Miss(reason=Reason.REQUEST_NO_CACHE if "no-cache" in asked else absent)
    if entry.span is not None or "range" in request.headers:
        lacks = _lacks(request, entry)
        if lacks is not None:
            return lacks
    refusal = _too_old(entry, now, asked)
    if refusal is None:
        return Hit(entry=entry)
    if refusal is Reason.EXPIRED and not entry.strict:
        tolerated = _tolerated(entry, -entry.ttl(now), asked)
        if tolerated is not None:
            return tolerated
    askable = entry.validators and entry.span is None
    return Revalidate(entry=entry, reason=refusal) if askable else Miss(reason=refusal, stored=entry)


def with_content(entries: Sequence[Entry]) -> Sequence[Entry]:
    """Those that were not fetched by HEAD, which says nothing of what another method would get."""
    if any(entry.head_only for entry in entries):
        return [entry for entry in entries if not entry.head_only]
    return entries


def _lacks(request: Request, entry: Entry) -> Miss | None:
    """Where the entry does not hold all bytes that the request wants (RFC 9111 §3.3)."""
    match ranges.reach(request, entry):
        case ranges.Beyond():
            return Miss(reason=Reason.RANGE)
        case ranges.Lacking(missing=missing):
            return Miss(reason=Reason.PART_MISS, stored=entry, missing=missing)
        case ranges.Whole() | ranges.Part():
            return None


def _tolerated(entry: Entry, staleness: float, asked: Directives) -> Stale | None:
    """Serving it stale, where the caller or the origin allows so many seconds (RFC 5861 §3)."""
    patience = asked.patience()
    if patience is not None and staleness <= patience:
        return Stale(entry=entry, reason=Reason.MAX_STALE)
    wishes = "max-age" in asked or "min-fresh" in asked
    if not wishes and staleness < entry.stale_while_revalidate:
        return Stale(entry=entry, reason=Reason.WHILE_REVALIDATE, refresh=True)
    return None


def _too_old(entry: Entry, now: float, asked: Directives) -> Reason | None:
    """Why the entry cannot be used as it is, None where it can."""
    if "no-cache" in asked:
        return Reason.REQUEST_NO_CACHE
    if entry.validate:
        return Reason.NO_CACHE
    age, ttl = entry.age(now), entry.ttl(now)
    most = asked.seconds("max-age")
    # Of max-age=0 even an answer that came this instant is too old.
    if most is not None and (age > most or most == 0):
        return Reason.REQUEST_MAX_AGE
    least = asked.seconds("min-fresh")
    if least is not None and ttl < least:
        return Reason.REQUEST_MIN_FRESH
    return Reason.EXPIRED if ttl <= 0 else None
