"""May this request have the upstream's credential?

The law: where the operator has listed what is allowed, everything else is refused before a byte goes out,
a stored answer included. A path is allowed only where it is both as it is spelled and as servers may
decode it, those too that do so more than once; a request that could be taken for another by a field is not
allowed at all. A WebSocket with a credential is not for every page: browsers let any page open one to any
address, this machine's included, and say only in Origin which page it was.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from proxy.core.expression import expression
from proxy.core.failure import PermissionDeniedError
from proxy.core.message import Request
from proxy.core.routing import Route, dotted

_MOST_DECODED = 4  # times; what still changes then means nothing good

# Fields by which some servers take a request for one of another method or path.
_OTHERWISE = frozenset(
    {
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
        "x-original-url",
        "x-rewrite-url",
        "x-http-path-override",
    }
)


# RFC 6454 §6.2; the port is left out where it is the scheme's own.
_ORIGIN = expression(r"https?://((\[[0-9a-f:.]+\]|[^:/\[\]]+)(?::[0-9]{1,5})?)", re.IGNORECASE)
_OWN_MACHINE = expression(r"(?:.+\.)?localhost|127(?:\.[0-9]{1,3}){3}|\[::1\]", re.IGNORECASE)


def check(request: Request, route: Route, target: str) -> None:
    """Raises PermissionDeniedError. `target` is the one with the prefix stripped."""
    if request.switch and route.injector.replaced:
        _check_page(request)
    if route.allow is None:
        return
    path = target.partition("?")[0]
    spellings = _spellings(path)
    method = request.method
    if not any(all(match.admits(method, spelling) for spelling in spellings) for match in route.allow):
        raise _refused(f"{route.name} allows its credential for other methods or paths than this.")
    for name in request.headers.names():
        if name.replace("_", "-") in _OTHERWISE:
            raise _refused(f"{route.name} allows its credential for some requests; {name} may make another.")


def _check_page(request: Request) -> None:
    for origin in request.headers.all("origin"):
        place = _ORIGIN.fullmatch(origin)
        if place is None or (
            place[1].lower() != request.host.lower() and _OWN_MACHINE.fullmatch(place[2]) is None
        ):
            raise _refused("A page of another site may not open a WebSocket with this credential.")


def _spellings(path: str) -> set[str]:
    found = {path}
    for _ in range(_MOST_DECODED):
        plain = unquote(path, "latin-1")
        if plain == path:
            return found
        if dotted(plain):
            break
        found.add(plain)
        path = plain
    raise _refused("The path is encoded more than once, and what it means then is another's to say.")


def _refused(detail: str) -> PermissionDeniedError:
    return PermissionDeniedError(detail, proxy_status="http_request_denied")
