"""May this answer be stored? (RFC 9111 §3)

The law: an answer is stored only where its origin or the operator says that it may be used again, be it
stale, or where it can be validated. No-store is never overruled; neither is what would hand one caller's
answer to another: cookies, `Vary: *`, and in a shared cache `private` and authorised answers.
"""

from __future__ import annotations

from proxy.core.caching import directives as directive
from proxy.core.caching import freshness, ranges, syntax, variation
from proxy.core.caching.directives import Directives
from proxy.core.caching.entry import Entry, storable_fields
from proxy.core.caching.events import is_stream
from proxy.core.caching.policy import CachePolicy, Scope
from proxy.core.caching.tags import tags
from proxy.core.message import Headers, Request, Response
from proxy.core.reason import Reason
from proxy.core.value import dataclass

# Lower-case names of an answer's fields that say whether it may be stored, and for how long.
READ = frozenset(
    {
        *("cache-control", "pragma", "expires", "age", "vary", "etag", "last-modified"),
        *("set-cookie", "set-cookie2", "content-range", *directive.TARGETS),
    }
)
# Reasons that rest on nothing but the status, the request and the values of such fields: neither on a clock
# nor on what another field says.
LASTING = frozenset(
    {Reason.NO_STORE, Reason.SET_COOKIE, Reason.PRIVATE, Reason.AUTHORIZED, Reason.REQUEST_NO_STORE}
)
_PARTIAL = 206
_NOT_MODIFIED = 304
_FIRST_FINAL = 200
_FIRST_FAILURE = 400
# Whose meaning this cache knows: all that RFC 9110 defines, but for partial content.
_UNDERSTOOD = frozenset({*range(200, 206), *range(300, 304), 305, 307, 308, *range(400, 418), 421, 422, 426})
_UNDERSTOOD |= frozenset(range(500, 506))


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When an exchange with the origin took place: monotonic seconds, and the wall clock's at its end."""

    sent: float
    received: float
    wall: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Admit:
    """Store it: the entry still lacks its body."""

    entry: Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """Do not store it."""

    reason: Reason


def admit(
    request: Request, response: Response, moment: Moment, *, policy: CachePolicy, secret: bytes
) -> Admit | Skip:
    """Whether the answer may be stored, and as what. The body is not looked at."""
    said = directive.of_response(response.headers, policy.scope)
    refused = _refused(request, response, said, policy)
    if refused is not None:
        return Skip(reason=refused)
    vary = variation.named(response.headers)
    if vary is None:
        return Skip(reason=Reason.VARY_ANY)
    entry = _entry(request, response, moment, said, vary, policy=policy, secret=secret)
    useless = _useless(entry, said)
    return Admit(entry=entry) if useless is None else Skip(reason=useless)


def _refused(request: Request, response: Response, said: Directives, policy: CachePolicy) -> Reason | None:
    """The first reason in this table that holds."""
    status, headers = response.status, response.headers
    shared = policy.scope is Scope.SHARED
    # A cache that knows must-understand, and the status, is not meant by the no-store beside it
    # (§5.2.2.3).
    demanding = "must-understand" in said
    authorized = "authorization" in request.headers
    cookies = "set-cookie" in headers or "set-cookie2" in headers
    sharing = "public" in said or "must-revalidate" in said or "s-maxage" in said  # §3.5
    table = (
        (status == _PARTIAL and not _part(request, response), Reason.PARTIAL),
        (status == _NOT_MODIFIED or status < _FIRST_FINAL, Reason.NOT_MODIFIED),
        (response.fault is not None and status < _FIRST_FAILURE, Reason.FAILURE_IN_BODY),
        ("no-store" in directive.of_request(request.headers), Reason.REQUEST_NO_STORE),
        (demanding and status not in _UNDERSTOOD, Reason.NOT_UNDERSTOOD),
        (not demanding and "no-store" in said, Reason.NO_STORE),
        (cookies and not policy.store_set_cookie, Reason.SET_COOKIE),
        (shared and "private" in said, Reason.PRIVATE),
        (shared and authorized and not sharing, Reason.AUTHORIZED),
    )
    return next((reason for holds, reason in table if holds), None)


def _part(request: Request, response: Response) -> bool:
    """Whether a 206 is one part, asked for, of the length that it says."""
    span = ranges.told(response.headers)
    if span is None or ranges.wished(request.headers) is None:
        return False
    length = response.headers.get("content-length")
    return length is None or length == str(span[1] - span[0] + 1)


def _useless(entry: Entry, said: Directives) -> Reason | None:
    """Why an entry could never be used, None where it could."""
    if entry.lifetime > 0:
        return Reason.NO_CACHE if entry.validate and not entry.validators else None
    if entry.status not in freshness.HEURISTIC_STATUSES and not _spoken(entry.headers, said):
        return Reason.UNCACHEABLE_STATUS
    return None if entry.validators or _useful_stale(entry, said) else Reason.NO_FRESHNESS


def _useful_stale(entry: Entry, said: Directives) -> bool:
    """Whether it may serve although it was never fresh (RFC 5861)."""
    if entry.validate or entry.strict or is_stream(entry.headers):
        return False
    return bool(said.seconds("stale-while-revalidate") or entry.stale_if_error)


def _spoken(headers: Headers, said: Directives) -> bool:
    """Whether the answer itself names one of the grounds for storing any status (§3)."""
    grounds = ("public", "private", "max-age", "s-maxage")
    dated = "expires" in headers and not said.targeted
    return dated or any(ground in said for ground in grounds)


def _entry(
    request: Request,
    response: Response,
    moment: Moment,
    said: Directives,
    vary: tuple[str, ...],
    *,
    policy: CachePolicy,
    secret: bytes,
) -> Entry:
    headers = response.headers
    partial = response.status == _PARTIAL
    age = freshness.initial_age(headers, sent=moment.sent, received=moment.received)
    life = freshness.lifetime(response.status, headers, said, policy=policy, age=age, wall=moment.wall)
    ruled = life.source is freshness.Source.OVERRIDE
    last_modified = headers.get("last-modified")
    shared = policy.scope is Scope.SHARED
    strict = "must-revalidate" in said or (shared and ("proxy-revalidate" in said or "s-maxage" in said))
    revalidating = said.seconds("stale-while-revalidate")
    on_error = said.seconds("stale-if-error")
    # What the operator says of stale answers is not meant for failures.
    ours = response.status < freshness.FIRST_FAILURE
    return Entry(
        status=response.status,
        reason=response.reason,
        headers=storable_fields(_dated(headers.without({"content-range"}) if partial else headers, moment)),
        received=moment.received,
        initial_age=age,
        date=freshness.dated(headers, moment.wall),
        lifetime=life.seconds,
        validate="no-cache" in said and not ruled,
        strict=strict and not ruled,
        etag=headers.get("etag") or None,
        last_modified=last_modified or None,
        modified=None if last_modified is None else syntax.instant(last_modified, moment.wall),
        head_only=request.method == "HEAD",
        vary=vary,
        selection=variation.select(vary, request.headers, secret=secret),
        spoken=variation.spoken(vary, request.headers, headers, secret=secret),
        stale_while_revalidate=(policy.stale_while_revalidate if ours else 0.0)
        if revalidating is None
        else revalidating,
        span=ranges.told(headers) if partial else None,
        tags=tags(headers, policy.tag_headers),
        stale_if_error=((policy.stale_if_error if ours else 0.0) or None) if on_error is None else on_error,
    )


def _dated(headers: Headers, moment: Moment) -> Headers:
    """With the Date that whoever receives an answer without one has to note (RFC 9110 §6.6.1)."""
    return headers if "date" in headers else headers.plus(("Date", syntax.http_date(moment.wall)))
