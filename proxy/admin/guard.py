"""May this request to the admin port be answered at all?

The law: the port is for the operator's own tools, not for the web. A page that a browser shows must not
reach it, by a name of its own that resolves here (DNS rebinding: the Host is then not ours), by a script
elsewhere (the Origin is not ours), or by a form or an image (Sec-Fetch-Site). No CORS field is ever sent.
On an address that is not loopback, scrapes and probes (/metrics, /healthz, /readyz) answer to any Host:
inside a cluster the port has names that we cannot know, and these tell counts only and change nothing.
On a Unix socket, which no browser can open, any Host or none will do.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from proxy.core.expression import expression
from proxy.core.value import dataclass

PROBES = frozenset({"/metrics", "/healthz", "/readyz"})

_AUTHORITY = expression(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9._-]{1,253})(?::([0-9]{1,5}))?")
_OUR_SITE = frozenset({"same-origin", "none"})
_USUAL_PORT = 80
_SECURE_PORT = 443
_IPV6 = 6

Local = tuple[str, int]
"""The address at which a connection arrived; None stands for a Unix socket."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why not: `code` for programs, `detail` for people."""

    status: int
    code: str
    detail: str


class Guard:
    """`hosts` are further names under which the operator reaches the port, with or without a port.

    An address for all interfaces (0.0.0.0, ::) names none of them and adds nothing. Raises ValueError.
    """

    def __init__(self, hosts: Iterable[str] = ()) -> None:
        self._names: set[str] = set()
        self._places: set[tuple[str, int]] = set()
        for host in hosts:
            address = _address(host)
            if address is not None:
                if not address.is_unspecified:
                    self._names.add(f"[{address}]" if address.version == _IPV6 else str(address))
                continue
            parsed = authority(host)
            if parsed is None:
                raise ValueError(f"{host!r} is not a host with an optional port")
            if _has_port(host):
                self._places.add(parsed)
            else:
                self._names.add(parsed[0])

    def refuse(
        self,
        *,
        local: Local | None,
        path: str,
        hosts: Sequence[str],
        origins: Sequence[str],
        sites: Sequence[str],
    ) -> Refusal | None:
        """None = go on. `hosts`, `origins`, `sites`: every line of Host, Origin, Sec-Fetch-Site."""
        if not path.startswith("/"):
            return Refusal(status=400, code="bad_target", detail="The request target is not a path.")
        if any(site.strip().lower() not in _OUR_SITE for site in sites):
            return Refusal(
                status=403, code="cross_site", detail="The admin port does not answer other sites' pages."
            )
        place = authority(hosts[0]) if len(hosts) == 1 else None
        if not self._is_ours(place, local, path):
            return Refusal(
                status=403,
                code="host_not_allowed",
                detail="The Host is not the admin port's own: use its address, or localhost with its port.",
            )
        if any(not _same(origin, place, local) for origin in origins):
            return Refusal(
                status=403, code="origin_not_allowed", detail="The admin port answers its own pages only."
            )
        return None

    def _is_ours(self, place: tuple[str, int] | None, local: Local | None, path: str) -> bool:
        if local is None:
            return True
        address, port = local
        here = _address(address)
        if path in PROBES and here is not None and not here.is_loopback:
            return True
        if place is None or place in self._places:
            return place is not None
        name, asked = place
        there = _address(name)
        is_here = there is not None and (there.is_loopback or there == here)
        return asked == port and (is_here or name == "localhost" or name in self._names)


def authority(text: str) -> tuple[str, int] | None:
    """(lower-case host, port; 80 where none is given), or None for anything else."""
    found = _AUTHORITY.fullmatch(text.lower())
    if found is None:
        return None
    return found[1], int(found[2] or _USUAL_PORT)


def _has_port(text: str) -> bool:
    return not text.endswith("]") and ":" in text


def _same(origin: str, place: tuple[str, int] | None, local: Local | None) -> bool:
    """Whether an Origin is the one that the Host names."""
    scheme, mark, rest = origin.partition("://")
    # Something that speaks TLS may stand before a Unix socket; the TCP port itself never does.
    if not mark or place is None or scheme not in ({"http"} if local else {"http", "https"}):
        return False
    named = authority(rest)
    if named is not None and scheme == "https" and not _has_port(rest):
        named = (named[0], _SECURE_PORT)
        place = place if place[1] != _USUAL_PORT else (place[0], _SECURE_PORT)
    return named == place


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return None
