"""What if the connection itself is the credential? Our certificate is shown in TLS (RFC 8446 §4.4.2).

The certificate is the session's to show; here it is only told, and the caller's own credential dropped.
"""

from __future__ import annotations

from proxy.auth.placing import AUTHORIZATION, without
from proxy.auth.veil import Veil
from proxy.core.message import Request
from proxy.core.routing import Origin


class MutualTLS:
    """`{type: mtls, cert: …, key: …}`. Its identity is the file's; its content is part of every key."""

    __slots__ = ("_cert", "_veil")

    replaced = AUTHORIZATION

    def __init__(self, cert: str, salt: bytes) -> None:
        self._cert = cert
        self._veil = Veil("mtls", salt)

    def __repr__(self) -> str:
        return f"MutualTLS({self.describe()})"

    def describe(self) -> str:
        return f"mtls certificate {self._cert}"

    def identity(self) -> str:
        return self._veil.identity(self._cert)

    async def inject(self, request: Request, origin: Origin | None = None) -> Request:  # noqa: ARG002 - the port's
        return without(request, self.replaced)

    def mask(self, text: str) -> str:
        return text
