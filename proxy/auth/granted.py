"""How is a token sent that is obtained from a provider? `Authorization: Bearer <token>` (RFC 6750 §2.1).

One for all schemes that differ only in how the token is come by: each of them is a Grant. The identity is
the client's, so that what is cached outlives its tokens.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Protocol

from proxy.auth.placing import AUTHORIZATION, with_field
from proxy.auth.renewal import Obtained, Renewal
from proxy.auth.veil import Veil
from proxy.core.failure import CredentialError
from proxy.core.message import Request, Response
from proxy.core.ports import Chance, Clock
from proxy.core.routing import Origin

_REFUSED = 401
_SCHEME = "Bearer "


class Grant(Protocol):
    """One way to come by a token."""

    @property
    def scheme(self) -> str:
        """The `type` in the configuration."""

    def describe(self) -> str:
        """What it asks, where and as whom; no secret."""

    def client(self) -> tuple[str, ...]:
        """What tells this client from others, the same for all of its tokens. Raises CredentialError."""

    def secrets(self) -> Iterable[str]:
        """What must not be shown, as far as it can be had. Raises CredentialError."""

    async def obtain(self, last: str | None) -> Obtained[str]:
        """A token in place of the last one. Raises CredentialError."""


class GrantedToken:
    """An injector whose token comes from a grant."""

    __slots__ = ("_grant", "_renewal", "_tokens", "_veil")

    replaced = AUTHORIZATION

    def __init__(self, grant: Grant, salt: bytes, clock: Clock, chance: Chance) -> None:
        self._grant = grant
        self._veil = Veil(grant.scheme, salt)
        # Apart, since tokens come and go and must not push the lasting secrets out.
        self._tokens = Veil(grant.scheme, salt)
        self._renewal = Renewal(self._obtain, clock, chance)

    def __repr__(self) -> str:
        return f"GrantedToken({self.describe()})"

    def describe(self) -> str:
        return self._grant.describe()

    def identity(self) -> str:
        """Raises CredentialError."""
        return self._veil.identity(*self._grant.client())

    async def inject(self, request: Request, origin: Origin) -> Request:  # noqa: ARG002 - the port's
        return self._placed(request, await self._renewal.current())

    async def another(
        self,
        sent: Request,
        answer: Response,
        request: Request,
        origin: Origin,  # noqa: ARG002 - the port's
    ) -> Request | None:
        """After a 401: one forced renewal, for all who were refused with the same token."""
        carried = sent.headers.get("authorization") or ""
        if answer.status != _REFUSED or not carried.startswith(_SCHEME):
            return None
        token = await self._renewal.after(carried.removeprefix(_SCHEME))
        return None if token is None else self._placed(request, token)

    def expires(self) -> float | None:
        return self._renewal.expires()

    async def close(self) -> None:
        await self._renewal.close()

    def mask(self, text: str) -> str:
        self._hide()
        return self._veil.mask(self._tokens.mask(text))

    def _placed(self, request: Request, token: str) -> Request:
        return with_field(request, b"Authorization", (_SCHEME + token).encode("ascii"), self.replaced)

    async def _obtain(self, last: str | None) -> Obtained[str]:
        self._hide()
        try:
            obtained = await self._grant.obtain(last)
        except CredentialError as failure:
            # Its words may be the provider's, and those what it was asked with.
            raise CredentialError(self.mask(failure.detail), retry_after=failure.retry_after) from None
        self._tokens.hide(obtained.value)
        return obtained

    def _hide(self) -> None:
        with contextlib.suppress(CredentialError):
            for secret in self._grant.secrets():
                self._veil.hide(secret)
