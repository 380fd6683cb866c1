"""Under which key may an answer be kept, and is there one at all?

The law: two requests share a key only where route, upstream, scope, credential, our certificate, the
fields that the configuration sets, the caller's own identity, every field that could change the answer
unseen, method and target are byte for byte the same: who shares the store may be configured otherwise.
Parts are length-prefixed and hashed with a key of this installation, so nothing can be shifted from one
part into the next and no secret can be read or guessed back. Nothing is normalised. What cannot be keyed
safely is not cached.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import field
from functools import lru_cache
from hashlib import blake2b

from proxy.core.caching import ranges
from proxy.core.caching.policy import CachePolicy, Scope
from proxy.core.expression import expression
from proxy.core.message import Request
from proxy.core.reason import Reason
from proxy.core.routing import Origin, Route
from proxy.core.value import dataclass

# Who is asking, for whom, or in what form: names with one of these words, underscores read as hyphens. Many
# APIs choose the tenant, the account or their version by such a field and never name it in Vary.
_TELLING = expression(
    r"(?:^|-)(?:(?:user|account|org|tenant|team|project|workspace|customer|company|member|merchant"
    r"|subscription|principal|impersonat|namespace|database|schema|role|profile|realm|client-id|app-id"
    r"|application-id)[a-z]*|admin|subject|client-cert|behalf-of|act-as|sudo|version|beta|prefer|arg"
    r"|field-?mask)(?:-|$)"
    # Fields that servers are known to read behind a cache's back.
    r"|(?:^|-)(?:authorization|cookie2?|forwarded|origin|x-forwarded-.*|x-real-ip|x-client-ip|client-ip"
    r"|true-client-ip|cf-connecting-ip|x-host|x-http-host-override|x-rewrite-ur[li]|x-original-.*"
    r"|x-http-method.*|x-method-override|x-http-path-override|x-override-.*|from)$"
    r"|auth|token|secret|key$|api-?key|access-?key|session|signature|password|credential"
)
# Have a word of the above, but say nothing about who asks: what software it is, or which request.
_HARMLESS = expression(r"x-request-id|(?:.*-)?user-?agent|(?:.*-)?idempotency-key|x-stainless-.*|sec-ch-.*")

_MOST_REMEMBERED = 64

_NOT_KEYED = {
    "range": Reason.RANGE,
    "upgrade": Reason.UPGRADE,
    "if-match": Reason.PRECONDITION,
    "if-unmodified-since": Reason.PRECONDITION,
    "if-range": Reason.PRECONDITION,
}
_OF_A_RANGE = frozenset({"range", "if-range"})
# Say what a body's bytes mean.
_OF_CONTENT = frozenset({"content-type", "content-encoding", "content-language"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """Where an answer is kept. Two keys are equal where `primary` is.

    `primary` and `place` are 32-byte keyed digests. `place` is the same for every identity: an unsafe
    method drops all that is kept there. `upstream` and `target` are for people and for purging by
    path; the target is as the caller sent it.
    """

    primary: bytes
    place: bytes = field(compare=False)
    upstream: str = field(compare=False)
    target: str = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bypass:
    """The cache is neither read nor written for this request."""

    reason: Reason


def identify(request: Request, route: Route, *, secret: bytes, content: bytes | None = None) -> Key | Bypass:
    """The key of a request as it goes upstream, its credential not yet injected.

    `secret` is random, 16 to 64 bytes, and as long-lived as the store. `content` is the whole body of
    a method other than GET and HEAD, where it is known; it becomes part of the key, as
    `proxy/core/caching/content.py` reads it.
    """
    policy, headers, method = route.cache, request.headers, request.method
    names, safe = headers.names(), method in {"GET", "HEAD"}
    if not policy.enabled or method not in policy.methods:
        return Bypass(reason=Reason.METHOD if policy.enabled else Reason.CACHE_OFF)
    if (safe and request.body.length != 0) or (not safe and content is None):
        return Bypass(reason=Reason.REQUEST_BODY)
    if not names.isdisjoint(_NOT_KEYED.keys()):
        unkeyed = _unkeyed(request)
        if unkeyed is not None:
            return Bypass(reason=unkeyed)
    sent = b""
    if content is not None and not safe:
        from proxy.core.caching import content as contents  # noqa: PLC0415 - what reads GraphQL takes long to load

        read = contents.keyed(request, content, policy.key.ignore_body_fields)
        if read is None:
            return Bypass(reason=Reason.MUTATION)
        sent = read
    target = keyed_target(request.target, policy.key.ignore_query)
    parts = [
        *(b"key", route.name.encode(), _urls(route.origins), policy.scope.value.encode()),
        *(route.injector.identity().encode(), route.certificate),
        *_fields(route.set_headers, route.default_headers),
        b"GET" if safe else method.encode("utf-8", "surrogatepass"),
        target.encode("utf-8", "surrogatepass"),
        sent,
    ]
    for name in keyed_fields(request, policy):
        values = headers.all(name)
        parts += (name.encode("latin-1"), b"%d" % len(values))
        parts += (value.encode("latin-1") for value in values)
    return Key(
        primary=digest(parts, secret=secret),
        place=place_on(route, request.target, secret=secret),
        upstream=route.name,
        target=request.target,
    )


def keyed_fields(request: Request, policy: CachePolicy) -> list[str]:
    """The sorted lower-case names of the fields whose values are part of the key."""
    names = request.headers.names()
    chosen = {name for name in names if telling(name)}
    if policy.scope is Scope.SHARED:
        # A shared cache decides about Authorization by what the answer says (RFC 9111 §3.5).
        chosen.discard("authorization")
    chosen.update(name for name in policy.key.headers if name in names)
    if request.method not in {"GET", "HEAD"}:
        chosen |= _OF_CONTENT & names
    return sorted(chosen)


def _unkeyed(request: Request) -> Reason | None:
    names = request.headers.names()
    # One range is cut out of what is stored for the whole.
    single = request.method == "GET" and ranges.wished(request.headers) is not None
    found = (name for name in _NOT_KEYED if name in names and not (single and name in _OF_A_RANGE))
    return next((_NOT_KEYED[name] for name in found), None)


def digest(parts: Iterable[bytes], *, secret: bytes) -> bytes:
    """32 bytes that stand for these parts and no other sequence of parts."""
    joined = b"".join([b"%d:%b" % (len(part), part) for part in parts])
    return blake2b(joined, digest_size=32, key=secret).digest()


def place(upstream: str, target: str, *, secret: bytes) -> bytes:
    """The digest of a resource, whoever asks for it."""
    parts = (b"place", upstream.encode(), target.encode("utf-8", "surrogatepass"))
    return digest(parts, secret=secret)


def place_on(route: Route, target: str, *, secret: bytes) -> bytes:
    """The place of a target on a route, the same whichever of the route's rules takes the request."""
    ignored = (*route.cache.key.ignore_query, *route.ignored_query)
    return place(route.name, keyed_target(target, ignored), secret=secret)


def keyed_target(target: str, ignored: tuple[str, ...]) -> str:
    """The target without the ignored query parameters, which are named as they are spelled in it."""
    path, mark, query = target.partition("?")
    if not ignored or not query:
        return target
    kept = [pair for pair in query.split("&") if pair.partition("=")[0] not in ignored]
    return f"{path}{mark}{'&'.join(kept)}" if kept else path


@lru_cache(maxsize=1024)
def _urls(origins: tuple[Origin, ...]) -> bytes:
    return b" ".join(origin.url.encode() for origin in origins)


@lru_cache(maxsize=1024)
def _fields(*groups: tuple[tuple[str, str], ...]) -> tuple[bytes, ...]:
    """What the configuration puts on every request, as one part for each group."""
    texts = [[text.encode("utf-8", "surrogatepass") for pair in group for text in pair] for group in groups]
    return tuple(b"".join(b"%d:%b" % (len(text), text) for text in group) for group in texts)


def telling(name: str) -> bool:
    """Whether a field of this lower-case name says who asks, or could change an answer unseen."""
    # Names come from strangers: what is remembered of them is short.
    return _remembered(name) if len(name) <= _MOST_REMEMBERED else _read(name)


@lru_cache(maxsize=2048)
def _remembered(name: str) -> bool:
    return _read(name)


def _read(name: str) -> bool:
    plain = name.replace("_", "-")
    return _TELLING.search(plain) is not None and _HARMLESS.fullmatch(plain) is None
