"""What exactly is signed of a request to AWS, and what is its signature? (Signature Version 4)

The law: the server builds the same text from what it received, so what goes out is spelled in the one way
that all readers agree on before it is signed, and nothing is signed that another hop may change.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from urllib.parse import quote, quote_from_bytes, unquote_to_bytes

from proxy.core.expression import expression
from proxy.core.value import dataclass

ALGORITHM = "AWS4-HMAC-SHA256"
EMPTY = hashlib.sha256(b"").hexdigest()
UNSIGNED = "UNSIGNED-PAYLOAD"

# Their paths are object names: encoded once, never normalised. All others are encoded a second time.
OBJECT_STORES = frozenset({"s3", "s3-outposts", "s3-object-lambda"})

_UNRESERVED = "-_.~"
# Connections' own, and what proxies and tracers on the way add to or replace.
_NOT_SIGNED = frozenset(
    {
        "authorization",
        "baggage",
        "connection",
        "expect",
        "forwarded",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "traceparent",
        "tracestate",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "via",
        "x-amzn-trace-id",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-request-id",
    }
)
_SLASHES = expression(r"(/|%2[fF])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Where and when a signature is good. `stamp` is UTC as in 20150830T123600Z."""

    stamp: str
    region: str
    service: str

    @property
    def day(self) -> str:
        return self.stamp[:8]

    def __str__(self) -> str:
        return f"{self.day}/{self.region}/{self.service}/aws4_request"


def respelled(target: str, service: str) -> str:
    """The target as every reader spells it: the query's names and values, and an object's name.

    The characters of `target` are its bytes. Meaning and order stay; an encoded slash stays encoded.
    """
    path, mark, query = target.partition("?")
    if service in OBJECT_STORES:
        pieces = _SLASHES.split(path)
        path = "".join(piece.upper() if n % 2 else _encoded(piece) for n, piece in enumerate(pieces))
    pairs = []
    for pair in query.split("&"):
        name, equals, value = pair.replace("+", " ").partition("=")
        if pair:
            pairs.append(f"{_encoded(name)}{equals}{_encoded(value)}")
    return f"{path}{mark}{'&'.join(pairs)}" if pairs else path


def _encoded(text: str) -> str:
    return quote_from_bytes(unquote_to_bytes(text.encode("latin-1")), safe=_UNRESERVED)


def canonical_path(path: str, service: str) -> str:
    """Of the path as it is sent, its characters being its bytes."""
    if service in OBJECT_STORES:
        return path
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in {"", "."}:
            kept.append(segment)
    whole = "/" + "/".join(kept) + ("/" if kept and path.endswith("/") else "")
    return quote(whole.encode("latin-1"), safe="/" + _UNRESERVED)


def canonical_query(query: str) -> str:
    """Of a query that is spelled already: its pairs sorted, each with its equals sign."""
    pairs = sorted(pair.partition("=")[::2] for pair in query.split("&")) if query else []
    return "&".join(f"{name}={value}" for name, value in pairs)


def canonical_fields(fields: Iterable[tuple[str, str]]) -> tuple[str, str]:
    """The lines of the fields that are signed, and their names; names come in lower case."""
    found: dict[str, list[str]] = {}
    for name, value in fields:
        if name not in _NOT_SIGNED:
            found.setdefault(name, []).append(" ".join(value.split()))
    lines = "".join(f"{name}:{','.join(found[name])}\n" for name in sorted(found))
    return lines, ";".join(sorted(found))


def canonical_request(
    method: str, target: str, fields: Iterable[tuple[str, str]], payload: str, service: str
) -> str:
    """The text of the request. `target` is spelled already; `payload` is its hash, or a word in its place."""
    path, _, query = target.partition("?")
    lines, names = canonical_fields(fields)
    place = canonical_path(path or "/", service)
    return f"{method}\n{place}\n{canonical_query(query)}\n{lines}\n{names}\n{payload}"


def text_to_sign(canonical: str, scope: Scope) -> str:
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    return f"{ALGORITHM}\n{scope.stamp}\n{scope}\n{digest}"


def signing_key(secret_access_key: str, scope: Scope) -> bytes:
    """Good for a day, a region and a service."""
    key = f"AWS4{secret_access_key}".encode()
    for part in (scope.day, scope.region, scope.service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def signature(key: bytes, text: str) -> str:
    return hmac.digest(key, text.encode(), "sha256").hex()


def authorization(canonical: str, scope: Scope, *, access_key_id: str, key: bytes) -> str:
    """The value of the Authorization field."""
    # The names stand in the canonical text already, two lines from its end.
    names = canonical.rsplit("\n", 2)[1]
    signed = signature(key, text_to_sign(canonical, scope))
    return f"{ALGORITHM} Credential={access_key_id}/{scope}, SignedHeaders={names}, Signature={signed}"
