"""How is a bearer token sent? `Authorization: Bearer <token>` (RFC 6750 §2.1)."""

from __future__ import annotations

import contextlib

from proxy.auth.keys import Keys
from proxy.auth.placing import AUTHORIZATION, field_value, revealed, with_field
from proxy.auth.veil import Veil
from proxy.core.failure import CredentialError
from proxy.core.message import Request, Response
from proxy.core.ports import Secret
from proxy.core.routing import Origin

_SCHEME = "Bearer "


class Bearer:
    """`{type: bearer, token: …}`; several tokens take turns."""

    __slots__ = ("_keys", "_veil")

    replaced = AUTHORIZATION

    def __init__(self, token: Secret | Keys, salt: bytes) -> None:
        self._keys = token if isinstance(token, Keys) else Keys((token,))
        self._veil = Veil("bearer", salt, present=len(self._keys))

    def __repr__(self) -> str:
        return f"Bearer({self.describe()})"

    def describe(self) -> str:
        return f"bearer token from {self._keys.describe()}"

    @property
    def settled(self) -> bool:
        return self._keys.settled

    def identity(self) -> str:
        """Raises CredentialError."""
        return self._veil.identity(*self._keys.values(self._value))

    def steady(self) -> bool:
        return len(self._keys) == 1

    async def inject(self, request: Request, origin: Origin | None = None) -> Request:  # noqa: ARG002 - the port's
        return self._placed(request, self._keys.pick())

    async def another(
        self,
        sent: Request,
        answer: Response,
        request: Request,
        origin: Origin | None = None,  # noqa: ARG002 - the port's
    ) -> Request | None:
        with contextlib.suppress(CredentialError):
            key = self._keys.another((sent.headers.get("authorization") or "").removeprefix(_SCHEME), answer)
            return None if key is None else self._placed(request, key)
        return None

    def mask(self, text: str) -> str:
        with contextlib.suppress(CredentialError):
            self._keys.values(self._value)
        return self._veil.mask(text)

    def _placed(self, request: Request, token: Secret) -> Request:
        value = _SCHEME.encode() + field_value(self._value(token), token)
        return with_field(request, b"Authorization", value, self.replaced)

    def _value(self, token: Secret) -> str:
        value = revealed(token)
        self._veil.hide(value)
        if " " in value.strip():
            raise CredentialError(
                f"The secret from {token.describe()} holds a space: "
                "a token is written alone, without the word Bearer."
            )
        return value
