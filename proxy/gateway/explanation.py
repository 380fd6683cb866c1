"""What would become of a request, and why?

The steps of the path up to the upstream, taken without it: routing, forwarding, the key and reuse are
pure, so that this is what a real request would meet, not a description of it. Nothing here reveals a
secret: credentials are named, and fields that may hold one are shown without their values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, assert_never

from proxy.core import fence, problem
from proxy.core.caching import directives, key, status
from proxy.core.caching.entry import Entry
from proxy.core.caching.key import Bypass, Key
from proxy.core.caching.policy import CachePolicy, Scope
from proxy.core.caching.reuse import Decision, Hit, Miss, Refuse, Revalidate, Stale, reuse
from proxy.core.exchange import Verdict
from proxy.core.expression import expression
from proxy.core.failure import CredentialError
from proxy.core.forwarding import forward
from proxy.core.message import Field, Headers, Request, lower_name
from proxy.core.ports import Store
from proxy.core.reason import Reason
from proxy.core.resilience.receipt import FIELD, place
from proxy.core.resilience.repetition import known_by
from proxy.core.resilience.retry import RetryPolicy
from proxy.core.resilience.wait import backoff
from proxy.core.routing import ErrorMode, Match, Origin, Route, Table
from proxy.gateway.content import gathered

_HIDDEN = "***"
# Made anew for each request.
_MADE = "(new for each request)"
_CALLERS = "(the caller's address)"
# Fields that never hold a secret; of what the configuration sets beside them nobody knows.
_PLAIN = expression(
    r"accept(?:-.*)?|content-type|cache-control|prefer|user-agent|via|forwarded|x-forwarded-.*|x-request-id"
    r"|traceparent|.*-(?:version|beta)"
)
_MOST_WAITS = 9
_MOST_DIGITS = 19


class _Unnamed:
    """Stands for a credential that cannot be had just now."""

    replaced: frozenset[str] = frozenset()

    def describe(self) -> str:
        return ""

    def identity(self) -> str:
        return ""

    async def inject(self, request: Request, origin: Origin) -> Request:  # noqa: ARG002 - the port's
        return request

    def mask(self, text: str) -> str:
        return text


async def explain(
    request: Request, table: Table, *, secret: bytes, store: Store | None = None, now: float = 0.0
) -> dict[str, Any]:
    """What would become of a caller's request, as JSON has it; without a store nothing is stored.

    `secret` and `now` are the cache's. Raises NoRouteError, BadRequestError and PermissionDeniedError.
    """
    route, target = table.find(request)
    fence.check(request, route, target)
    onward = forward(request, route, target, request_id=_MADE, traceparent=_MADE, caller=_CALLERS)
    return {
        "method": request.method,
        "path": request.target,
        "route": _route(route, table),
        "upstream": {
            "url": route.origins[0].url + target,
            "others": [origin.url for origin in route.origins[1:]],
        },
        "credential": _credential(route),
        "headers": _changed(request.headers, onward.headers),
        "cache": await _cache(onward, route, secret=secret, store=store, now=now),
        "retry": {**_retry(onward, route.retry), "body": _body(request, route.retry)},
        "idempotency": _idempotency(request, onward, route, secret),
        "timeout": {name: getattr(route.timeouts, name) for name in ("connect", "attempt", "idle", "total")},
        "errors": _errors(request, route),
    }


def _route(route: Route, table: Table) -> dict[str, Any]:
    whole = next(one for one in table.routes if one is route or any(one is route for _, one in one.rules))
    host = "" if route.host is None else f"its Host is {route.host}, and "
    prefix = f"{route.prefix} is the longest prefix of its path" if route.prefix else "its prefix is /"
    number = next((n for n, (_, changed) in enumerate(whole.rules, 1) if changed is route), None)
    told: dict[str, Any] = {"name": route.name, "why": host + prefix, "rule": None}
    if number is not None:
        told["rule"] = {"number": number, "match": _match(whole.rules[number - 1][0])}
    return told


def _match(match: Match) -> str:
    return f"{match.method or 'any method'} {match.path or 'any path'}"


def _credential(route: Route) -> dict[str, Any]:
    told: dict[str, Any] = {
        "name": route.injector.describe(),
        "replaces": sorted(route.injector.replaced),
        "problem": None,
    }
    try:
        route.injector.identity()
    except CredentialError as error:
        told["problem"] = error.detail
    return told


def _changed(before: Headers, after: Headers) -> dict[str, Any]:
    """What is dropped, and what is written by us or by the configuration."""
    kept, come = set(after.fields), set(before.fields)
    written = [_shown(field) for field in after.fields if field not in come]
    dropped = {lower_name(field[0]) for field in before.fields if field not in kept}
    return {"removed": sorted(dropped), "set": written}


def _shown(field: Field) -> str:
    name = field[0].decode("latin-1")
    return f"{name}: {field[1].decode('latin-1') if _PLAIN.fullmatch(name.lower()) else _HIDDEN}"


async def _cache(
    request: Request, route: Route, *, secret: bytes, store: Store | None, now: float
) -> dict[str, Any]:
    content: bytes | None = None
    if request.method not in {"GET", "HEAD"}:
        request, content = await gathered(request)
    try:
        found = key.identify(request, route, secret=secret, content=content)
    except CredentialError:
        found = key.identify(request, replace(route, injector=_Unnamed()), secret=secret, content=content)
    told: dict[str, Any] = {"key": None}
    entries: Sequence[Entry] = ()
    decision: Decision
    if isinstance(found, Bypass):
        decision = found
        if route.cache.enabled and "only-if-cached" in directives.of_request(request.headers):
            decision = Refuse()
    else:
        entries = await store.load(found) if store is not None else ()
        decision = reuse(request, entries, now, secret=secret)
        told["key"] = _parts(request, route, found, content)
    verdict, reason, line = _verdict(decision, now)
    return {
        "verdict": verdict.value,
        "reason": reason.value,
        "sentence": reason.sentence,
        "status": line,
        "stored": None if store is None else len(entries),
        **told,
        "policy": _policy(route.cache),
    }


def _verdict(decision: Decision, now: float) -> tuple[Verdict, Reason, str]:
    match decision:
        case Hit(entry=entry, reason=reason):
            return Verdict.HIT, reason, status.hit(entry.ttl(now), reason)
        case Stale(entry=entry, reason=reason):
            return Verdict.STALE, reason, status.hit(entry.ttl(now), reason)
        case Miss(reason=reason) | Revalidate(reason=reason) | Refuse(reason=reason):
            return Verdict.MISS, reason, status.forwarded(reason)
        case Bypass(reason=reason):
            return Verdict.BYPASS, reason, status.forwarded(reason)
        case _:
            assert_never(decision)


def _parts(request: Request, route: Route, found: Key, content: bytes | None) -> dict[str, Any]:
    """What the key is made of; of the fields their names, as values may be secrets."""
    policy = route.cache
    safe = request.method in {"GET", "HEAD"}
    return {
        "route": found.upstream,
        "upstream": [origin.url for origin in route.origins],
        "credential": route.injector.describe(),
        "method": "GET" if safe else request.method,
        "target": key.keyed_target(request.target, policy.key.ignore_query),
        "fields": key.keyed_fields(request, policy),
        "body": None if safe or content is None else f"{len(content)} bytes",
    }


def _policy(policy: CachePolicy) -> dict[str, Any]:
    """Durations in seconds."""
    names = ("default_ttl", "override_ttl", "stale_while_revalidate", "stale_if_error", "store_set_cookie")
    return {
        "scope": Scope(policy.scope).value,
        "methods": sorted(policy.methods),
        **{name: getattr(policy, name) for name in names},
        "negative_ttl": {str(code): ttl for code, ttl in policy.negative_ttl.items()},
    }


def _retry(request: Request, policy: RetryPolicy) -> dict[str, Any]:
    """`waits` are the most seconds before each further attempt, where the upstream names no time."""
    keyed = known_by(request.headers, policy.idempotency_key, request.method) is not None
    repeated = keyed or request.method in policy.methods
    further = range(1, min(policy.attempts, _MOST_WAITS + 1))
    return {
        "attempts": policy.attempts,
        "repeats": "what fails so" if repeated else "only what surely was not processed",
        "statuses": sorted(policy.statuses),
        "waits": [
            backoff(initial=policy.initial, factor=policy.factor, most=policy.max_wait, attempt=n, chance=1.0)
            for n in further
        ],
        "max_retry_after": policy.max_retry_after,
        "idempotency_key": policy.idempotency_key if keyed else None,
        "budget": None
        if policy.budget is None
        else {"ratio": policy.budget.ratio, "min_per_second": policy.budget.min_per_second},
    }


def _body(asked: Request, policy: RetryPolicy) -> dict[str, Any]:
    """Sizes in bytes. `kept` is where this body would be: `memory`, `disk`, or `no`: it goes once."""
    text = asked.headers.get("content-length") or ""
    length = int(text) if text.isdecimal() and len(text) < _MOST_DIGITS else asked.body.length or 0
    kept = "disk" if length <= policy.max_spool_body else "no"
    if length <= policy.max_replay_body:
        kept = "memory"
    return {
        "length": length,
        "kept": kept,
        "max_memory": policy.max_replay_body,
        "max_disk": policy.max_spool_body,
    }


def _idempotency(asked: Request, onward: Request, route: Route, secret: bytes) -> dict[str, Any] | None:
    """`keyed`: the request's own key makes it one that has one answer; `ttl` in seconds."""
    if route.idempotency is None:
        return None
    try:
        keyed = place(asked, onward, route, secret=secret) is not None
    except CredentialError:
        keyed = FIELD in asked.headers
    return {"ttl": route.idempotency, "keyed": keyed}


def _errors(request: Request, route: Route) -> dict[str, Any]:
    asked = problem.preferred(request.headers.joined("accept"))
    translated = route.errors is ErrorMode.TRANSLATE or asked
    return {"mode": route.errors.value, "document": translated, "asked": asked}
