"""How is a key sent in a field of its own? `X-Api-Key: <value>`, or whatever the API calls it."""

from __future__ import annotations

import contextlib
import re

from proxy.auth.placing import AUTHORIZATION, field_value, revealed, with_field
from proxy.auth.veil import Veil
from proxy.core.failure import CredentialError
from proxy.core.message import Request
from proxy.core.ports import Secret

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # token, RFC 9110 §5.6.2
# Fields that frame or route a message: a credential there would change where it goes or where it ends.
_NOT_THESE = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


class Header:
    """`{type: header, name: …, value: …}`; the value as it is, after the prefix if any."""

    __slots__ = ("_name", "_prefix", "_value_from", "_veil", "replaced")

    replaced: frozenset[str]

    def __init__(self, name: str, value: Secret, salt: bytes, *, prefix: str = "") -> None:
        """Raises ValueError for a name that is no field name, or one that frames the message."""
        if _NAME.fullmatch(name) is None:
            raise ValueError("the name of the header is not a field name")
        plain = name.lower().replace("_", "-")
        if plain in _NOT_THESE:
            raise ValueError(f"{name} cannot carry a credential: it belongs to the connection")
        self._name = name
        self._prefix = prefix.encode("latin-1")
        self._value_from = value
        self._veil = Veil("header", salt)
        # The caller's Authorization goes too: one request, one credential.
        self.replaced = AUTHORIZATION | {plain}

    def __repr__(self) -> str:
        return f"Header({self.describe()})"

    def describe(self) -> str:
        return f"header {self._name} from {self._value_from.describe()}"

    def identity(self) -> str:
        """Raises CredentialError."""
        return self._veil.identity(self._name.lower(), self._prefix.decode("latin-1"), self._value())

    async def inject(self, request: Request) -> Request:
        value = self._prefix + field_value(self._value(), self._value_from)
        return with_field(request, self._name.encode("latin-1"), value, self.replaced)

    def mask(self, text: str) -> str:
        with contextlib.suppress(CredentialError):
            self._value()
        return self._veil.mask(text)

    def _value(self) -> str:
        value = revealed(self._value_from)
        self._veil.hide(value)
        # In `Token abc` it is the last word that an upstream would echo alone.
        _, space, last = value.rpartition(" ")
        if space:
            self._veil.hide(last)
        return value
