"""What does a successful change make untrue? (RFC 9111 §4.4)

The law: an unsafe method that was not refused drops what is stored for its target, for every identity,
and for the targets that Location and Content-Location name, as long as they are on the same origin. A
change that tells what its target has become leaves that in place of what it drops.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urljoin

from proxy.core.caching import directives, freshness, key
from proxy.core.expression import expression
from proxy.core.message import Request, Response
from proxy.core.routing import Origin, Route

_REFERENCE = expression(r"(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?://([^/?]*))?([^\s]*)", re.ASCII)
_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "QUERY", "PROPFIND", "REPORT", "SEARCH"})
_OK = 200
_FIRST_SUCCESS = 200
_FIRST_FAILURE = 400


def invalidates(method: str, status: int) -> bool:
    """Whether an answer of this status to this method makes stored answers untrue."""
    return method not in _SAFE and _FIRST_SUCCESS <= status < _FIRST_FAILURE


def places(request: Request, response: Response, route: Route, *, secret: bytes) -> Iterator[bytes]:
    """The places to drop, each as `Key.place`."""
    targets = {request.target}
    for name in ("location", "content-location"):
        for value in response.headers.all(name):
            target = _on_origin(value.strip(), request.target, route)
            if target is not None:
                targets.add(target)
    for target in targets:
        yield key.place_on(route, target, secret=secret)


def restates(request: Request, response: Response, route: Route, wall: float) -> bool:
    """Whether a POST's answer is, for a while, what a GET of its target would get (RFC 9110 §9.3.3).

    Only the origin can say so: with a Content-Location that is the target, and a lifetime of its own.
    """
    named = response.headers.all("content-location")
    if request.method != "POST" or response.status != _OK or len(named) != 1:
        return False
    if _on_origin(named[0].strip(), request.target, route) != request.target:
        return False
    said = directives.of_response(response.headers, route.cache.scope)
    return (freshness.explicit(response.headers, said, route.cache.scope, wall) or 0) > 0


def _on_origin(reference: str, target: str, route: Route) -> str | None:
    """The target below the route's base URL that a reference names; None where it is elsewhere.

    It is relative to the target that answered (RFC 9110 §8.7, §10.2.2).
    """
    for origin in route.origins:
        path = _resolved(reference.partition("#")[0], origin.path + target, origin)
        if path is not None and path.startswith(origin.path + "/"):
            return path[len(origin.path) :]
    return None


def _resolved(reference: str, target: str, origin: Origin) -> str | None:
    """Path and query of a reference that stands in an answer to `target` of this origin (RFC 3986 §5.2)."""
    parts = _REFERENCE.fullmatch(reference)
    if parts is None or not reference:
        return None
    scheme, authority, rest = parts.groups()
    if scheme is not None and (scheme.lower() != origin.scheme or authority is None):
        return None
    if authority is not None:
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        if authority.lower() not in {origin.authority.lower(), f"{host}:{origin.port}".lower()}:
            return None
        return rest if rest.startswith("/") else "/" + rest
    if rest.startswith("/"):
        return rest
    here = target.partition("?")[0]
    return here + rest if rest.startswith("?") else urljoin(here, rest)
