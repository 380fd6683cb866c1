"""How are a user and a password sent? `Authorization: Basic <base64 of user:password>` (RFC 7617)."""

from __future__ import annotations

import base64
import contextlib

from proxy.auth.keys import former, settled
from proxy.auth.placing import AUTHORIZATION, revealed, with_field
from proxy.auth.veil import Veil
from proxy.core.failure import CredentialError
from proxy.core.message import Request, Response
from proxy.core.ports import Secret
from proxy.core.routing import Origin

_REFUSED = 401


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

    @property
    def settled(self) -> bool:
        return settled(self._username, self._password)

    def identity(self) -> str:
        """Raises CredentialError."""
        return self._veil.identity(*self._values())

    def steady(self) -> bool:
        return True

    async def inject(self, request: Request, origin: Origin | None = None) -> Request:  # noqa: ARG002 - the port's
        return self._placed(request, _encoded(*self._values()))

    async def another(
        self,
        sent: Request,
        answer: Response,
        request: Request,
        origin: Origin | None = None,  # noqa: ARG002 - the port's
    ) -> Request | None:
        """After a 401: the pair as it is now, if it has changed meanwhile, or as it was just before."""
        if answer.status != _REFUSED:
            return None
        with contextlib.suppress(CredentialError):
            carried = sent.headers.get("authorization")
            before = _encoded(
                *self._values(
                    former(self._username) or self._username, former(self._password) or self._password
                )
            )
            for pair in (_encoded(*self._values()), before):
                if carried != f"Basic {pair}":
                    return self._placed(request, pair)
        return None

    def mask(self, text: str) -> str:
        with contextlib.suppress(CredentialError):
            self._values()
        return self._veil.mask(text)

    def _placed(self, request: Request, pair: str) -> Request:
        return with_field(request, b"Authorization", b"Basic " + pair.encode(), self.replaced)

    def _values(self, user: Secret | None = None, secret: Secret | None = None) -> tuple[str, str]:
        user, secret = user or self._username, secret or self._password
        username = revealed(user)
        password = revealed(secret, empty=True)
        if ":" in username:
            raise CredentialError(f"The user from {user.describe()} holds a colon (RFC 7617 §2).")
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
