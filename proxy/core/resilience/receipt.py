"""Was this request made before, and what was it told?

For callers that send an `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header). The law: one key of
one identity stands for one request and has one answer. A key that comes again with another method, target
or body is refused. What failed so that another try may do better is not kept, nor is what is incomplete.
Kept answers are not a cache: they go to who made the request, so neither `no-store` nor a purge means them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from hashlib import blake2b

from proxy.core.caching import key, status
from proxy.core.failure import APIError, InvalidRequestError, NotFoundError
from proxy.core.forwarding import FORWARDED
from proxy.core.message import Headers, Request, Response, Whole
from proxy.core.reason import Reason
from proxy.core.routing import Route
from proxy.core.value import dataclass

FIELD = "idempotency-key"
_REPLAYED = "Idempotent-Replayed"

# RFC 9110 §9.2.1: these do nothing that could be done twice.
_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
# What another try would not better; and of these, statuses by which it might.
_LAST_WORDS = frozenset({InvalidRequestError, NotFoundError})
_PASSING = frozenset({407, 421, 425})

# CPython's own bytes, as in an Entry.
_OVERHEAD = 500
_FIELD_OVERHEAD = 140


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A first answer, and the mark of the request that it answered. `received` is monotonic, in seconds."""

    mark: bytes = field(repr=False)
    status: int
    reason: str = ""
    headers: Headers = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    received: float

    @property
    def size(self) -> int:
        """Bytes that it takes, the interpreter's included."""
        fields = self.headers.fields
        return _OVERHEAD + len(self.body) + self.headers.size() + _FIELD_OVERHEAD * len(fields)


def place(asked: Request, onward: Request, route: Route, *, secret: bytes) -> bytes | None:
    """Where the answer to a caller's request is kept, a keyed digest; None where it asks for no such thing.

    `asked` is the request as it came, `onward` as it goes upstream, its credential not yet injected: who asks
    is what both of them say. Raises CredentialError.
    """
    given = asked.headers.joined(FIELD)
    if route.idempotency is None or asked.method in _SAFE or not (given or "").strip():
        return None
    parts = [b"receipt", route.name.encode(), route.injector.identity().encode()]
    parts += (origin.url.encode() for origin in route.origins)
    # How it came here says who asks only where the upstream is told of it.
    said = (*_telling(asked.headers.without(FORWARDED)), *_telling(onward.headers))
    parts += ((given or "").encode("latin-1"), b"%d" % len(said), *said)
    return key.digest(parts, secret=secret)


def mark(request: Request, *, secret: bytes) -> blake2b:
    """A keyed digest begun with method and target, to be updated with the body's bytes."""
    begun = blake2b(digest_size=32, key=secret)
    for part in (request.method, request.target):
        encoded = part.encode("utf-8", "surrogatepass")
        begun.update(b"%d:%b" % (len(encoded), encoded))
    return begun


def keepable(code: int, kind: type[APIError] | None) -> bool:
    """Whether an answer of this status, a failure of this kind or none, is the last word on its request."""
    return kind is None or (kind in _LAST_WORDS and code not in _PASSING)


def told(receipt: Receipt, seen: bytes, *, now: float, ttl: float) -> Response:
    """The first answer again, for a request of this mark. Raises InvalidRequestError for another one.

    `ttl` is how long it is kept, in seconds.
    """
    if seen != receipt.mark:
        raise InvalidRequestError(
            "This Idempotency-Key was used before, for a request with another method, target or body.",
            status=422,
            proxy_status="http_request_error",
        )
    age = max(0.0, now - receipt.received)
    headers = Headers(_kept(receipt.headers)).replacing(_REPLAYED, "true")
    headers = headers.replacing("Age", str(int(age))).plus(
        (status.NAME, status.hit(ttl - age, Reason.REPLAYED))
    )
    return Response(status=receipt.status, reason=receipt.reason, headers=headers, body=Whole(receipt.body))


def _kept(headers: Headers) -> Iterator[tuple[bytes, bytes]]:
    """All but what our own cache said of the first one, its last line."""
    fields = headers.fields
    own = [n for n, (name, value) in enumerate(fields) if name == _OWN and value.startswith(b"leeward")]
    yield from (one for n, one in enumerate(fields) if n not in own[-1:])


_OWN = status.NAME.encode()


def _telling(headers: Headers) -> list[bytes]:
    """Names and values of what says who asks, in an order of their own."""
    said = []
    for name in sorted(name for name in headers.names() if key.telling(name)):
        values = headers.all(name)
        said += [name.encode("latin-1"), b"%d" % len(values)]
        said += [value.encode("latin-1") for value in values]
    return said
