"""What if nothing is to be injected? The caller's own credential passes as it came."""

from __future__ import annotations

from proxy.core.message import Request
from proxy.core.routing import Origin


class NoCredential:
    """`{type: none}`."""

    __slots__ = ()

    replaced: frozenset[str] = frozenset()
    settled = True

    def __repr__(self) -> str:
        return "NoCredential()"

    def describe(self) -> str:
        return "none: the caller's own credential passes"

    def identity(self) -> str:
        return "none"

    def steady(self) -> bool:
        return True

    async def inject(self, request: Request, origin: Origin | None = None) -> Request:  # noqa: ARG002 - the port's
        return request

    def mask(self, text: str) -> str:
        return text
