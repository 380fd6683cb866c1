"""How is a bearer token sent? `Authorization: Bearer <token>` (RFC 6750 §2.1)."""

from __future__ import annotations

import contextlib

from proxy.auth.placing import AUTHORIZATION, field_value, revealed, with_field
from proxy.auth.veil import Veil
from proxy.core.failure import CredentialError
from proxy.core.message import Request
from proxy.core.ports import Secret


class Bearer:
    """`{type: bearer, token: …}`."""

    __slots__ = ("_token", "_veil")

    replaced = AUTHORIZATION

    def __init__(self, token: Secret, salt: bytes) -> None:
        self._token = token
        self._veil = Veil("bearer", salt)

    def __repr__(self) -> str:
        return f"Bearer({self.describe()})"

    def describe(self) -> str:
        return f"bearer token from {self._token.describe()}"

    def identity(self) -> str:
        """Raises CredentialError."""
        return self._veil.identity(self._value())

    async def inject(self, request: Request) -> Request:
        value = b"Bearer " + field_value(self._value(), self._token)
        return with_field(request, b"Authorization", value, self.replaced)

    def mask(self, text: str) -> str:
        with contextlib.suppress(CredentialError):
            self._value()
        return self._veil.mask(text)

    def _value(self) -> str:
        value = revealed(self._token)
        self._veil.hide(value)
        if " " in value.strip():
            raise CredentialError(
                f"The secret from {self._token.describe()} holds a space: "
                "a token is written alone, without the word Bearer."
            )
        return value
