"""Which connection carries the next request: one that is idle, or a new one?

The law: an idle connection is used again only if nothing at all stirs on it; the freshest first, so
that the others can expire. A configured name never leads to a link-local or metadata address.
"""

from __future__ import annotations

import functools
import socket
import ssl
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from time import monotonic
from typing import cast

from aiohttp import ClientTimeout, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest, ConnectionKey
from aiohttp.connector import Connection
from aiohttp.resolver import DefaultResolver

from proxy.core.routing import Origin
from proxy.upstream.wire import Wire

_NO_TIMEOUTS = ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None)

_DENIED = tuple(
    map(
        ip_network,
        (
            "169.254.0.0/16",
            "fe80::/10",
            # Where clouds put credentials outside the link-local ranges.
            "fd00:ec2::254/128",
            "fd20:ce::254/128",
            "100.100.100.200/32",
            "192.0.0.192/32",
            # Translated forms of the first (RFC 6052 §2.1, RFC 3056).
            "64:ff9b::a9fe:0/112",
            "2002:a9fe::/32",
        ),
    )
)


class DeniedAddressError(OSError):
    """A name resolves to nothing but addresses that are never dialled."""


def denied(address: str) -> bool:
    """Whether an address that a name resolved to must not be dialled."""
    parsed: IPv4Address | IPv6Address = ip_address(address)
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return any(parsed in network for network in _DENIED if network.version == parsed.version)


class GuardedResolver(AbstractResolver):
    """Another resolver, with the denied addresses taken out of its answers.

    An address literal in the configuration is never asked here: it is the operator's own choice.
    """

    def __init__(self, inner: AbstractResolver) -> None:
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        allowed = [result for result in found if not denied(result["host"])]
        if found and not allowed:
            raise DeniedAddressError(None, "resolves to a link-local or metadata address")
        return allowed

    async def close(self) -> None:
        await self._inner.close()


class Dial:
    """Where to connect, in the terms in which aiohttp's connector asks a request."""

    __slots__ = ("connection_key", "host", "place", "port", "proxy", "raw_host", "secure", "ssl", "url")

    server_hostname = None

    def __init__(self, origin: Origin, context: ssl.SSLContext | None) -> None:
        self.secure = origin.scheme == "https"
        self.host = self.raw_host = origin.host
        self.port = origin.port
        self.ssl: ssl.SSLContext | bool = context or True
        self.proxy = None
        self.url = self  # of the URL, too, only the host is asked
        self.place = f"{origin.host}:{origin.port}"
        self.connection_key = ConnectionKey(origin.host, origin.port, self.secure, self.ssl, None, None, None)

    def is_ssl(self) -> bool:
        return self.secure


class Connector(TCPConnector):
    """aiohttp's connector (DNS, happy eyeballs, TLS) with a stricter pool of `Wire`s."""

    def __init__(self, *, keepalive: float, resolver: AbstractResolver | None = None) -> None:
        self._guarded = GuardedResolver(resolver or DefaultResolver())
        super().__init__(limit=0, keepalive_timeout=keepalive, resolver=self._guarded)
        self._keepalive = keepalive
        # Declared as making ResponseHandlers; a Wire is one.
        self._factory = cast("functools.partial[ResponseHandler]", functools.partial(Wire, self._loop))

    async def _get(self, *_: object) -> None:
        """`connect` means a new connection; idle ones are had through `reuse`."""

    def reuse(self, dial: Dial) -> Connection | None:
        """An idle connection that is fit for a request; None where there is none."""
        wire = self.take(dial)
        return None if wire is None else self.owned(dial, wire)

    def owned(self, dial: Dial, wire: Wire) -> Connection:
        """A wire that was taken, as the library's own callers hold one."""
        return Connection(self, dial.connection_key, wire, self._loop)

    def give(self, dial: Dial, wire: Wire) -> None:
        """Back to the idle ones, where it is fit for that."""
        key = dial.connection_key
        if self._closed or self._cleanup_handle is None or wire.should_close:
            self._release(key, wire)
            return
        # As the library does it where nobody waits for a connection: here nobody ever does.
        self._acquired.discard(wire)
        self._conns[key].append((wire, monotonic()))

    def take(self, dial: Dial) -> Wire | None:
        """As `reuse`: it has to be given back, or owned."""
        key = dial.connection_key
        idle = self._conns.get(key)
        if idle is None:
            return None
        now = monotonic()
        while idle:
            protocol, since = idle.pop()
            wire, kept = cast("Wire", protocol), self._keepalive
            if wire.keeps is not None and wire.keeps < kept:
                kept = wire.keeps
            if now - since < kept and not wire.should_close and not wire.stirred():
                if not idle:
                    del self._conns[key]
                self._acquired.add(wire)
                return wire
            wire.abort()
        del self._conns[key]
        return None

    async def open(self, dial: Dial) -> Connection:
        """A new connection. Raises ClientConnectionError and its kin."""
        return await self.connect(cast("ClientRequest", dial), [], _NO_TIMEOUTS)

    def counts(self) -> tuple[int, int]:
        """(in use, idle) connections."""
        return len(self._acquired), sum(map(len, self._conns.values()))

    async def close(self, *, abort_ssl: bool = False) -> None:
        await super().close(abort_ssl=abort_ssl)
        await self._guarded.close()
