"""How are a user and a password sent? `Authorization: Basic <base64 of user:password>` (RFC 7617)."""

from __future__ import annotations

import base64
import contextlib

from proxy.auth.placing import AUTHORIZATION, revealed, with_field
from proxy.auth.veil import Veil
from proxy.core.failure import CredentialError
from proxy.core.message import Request
from proxy.core.ports import Secret


class Basic:
    """`{type: basic, username: …, password: …}`.

    Some APIs take their key as the user with an empty password (Stripe); the user is then what is hidden.
    """

    __slots__ = ("_password", "_username", "_veil")

    replaced = AUTHORIZATION

    def __init__(self, username: Secret, password: Secret, salt: bytes) -> None:
        self._username = username
        self._password = password
        self._veil = Veil("basic", salt)

    def __repr__(self) -> str:
        return f"Basic({self.describe()})"

    def describe(self) -> str:
        return f"basic user from {self._username.describe()}, password from {self._password.describe()}"

    def identity(self) -> str:
        """Raises CredentialError."""
        return self._veil.identity(*self._values())

    async def inject(self, request: Request) -> Request:
        pair = _encoded(*self._values())
        return with_field(request, b"Authorization", b"Basic " + pair.encode(), self.replaced)

    def mask(self, text: str) -> str:
        with contextlib.suppress(CredentialError):
            self._values()
        return self._veil.mask(text)

    def _values(self) -> tuple[str, str]:
        username = revealed(self._username)
        password = revealed(self._password, empty=True)
        if ":" in username:
            raise CredentialError(f"The user from {self._username.describe()} holds a colon (RFC 7617 §2).")
        pair = _encoded(username, password)
        self._veil.hide(pair)
        self._veil.hide(pair.rstrip("="))
        self._veil.hide(password or username)
        return username, password


def _encoded(username: str, password: str) -> str:
    try:
        return base64.b64encode(f"{username}:{password}".encode()).decode()
    except UnicodeEncodeError:
        raise CredentialError("The user or the password cannot be written in UTF-8.") from None
