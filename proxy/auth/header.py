"""How is a key sent in a field of its own? `X-Api-Key: <value>`, or whatever the API calls it."""

from __future__ import annotations

import contextlib

from proxy.auth.keys import Keys
from proxy.auth.placing import AUTHORIZATION, field_value, revealed, with_field
from proxy.auth.veil import Veil
from proxy.core.expression import expression
from proxy.core.failure import CredentialError
from proxy.core.message import Request, Response
from proxy.core.ports import Secret
from proxy.core.routing import Origin

_NAME = expression(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # token, RFC 9110 §5.6.2
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
    """`{type: header, name: …, value: …}`; the value as it is, after the prefix if any.

    Several values take turns.
    """

    __slots__ = ("_keys", "_name", "_prefix", "_veil", "replaced")

    replaced: frozenset[str]

    def __init__(self, name: str, value: Secret | Keys, salt: bytes, *, prefix: str = "") -> None:
        """Raises ValueError for a name that is no field name, or one that frames the message."""
        if _NAME.fullmatch(name) is None:
            raise ValueError("the name of the header is not a field name")
        plain = name.lower().replace("_", "-")
        if plain in _NOT_THESE:
            raise ValueError(f"{name} cannot carry a credential: it belongs to the connection")
        self._name = name
        self._prefix = prefix
        self._keys = value if isinstance(value, Keys) else Keys((value,))
        self._veil = Veil("header", salt, present=2 * len(self._keys))
        # The caller's Authorization goes too: one request, one credential.
        self.replaced = AUTHORIZATION | {plain}

    def __repr__(self) -> str:
        return f"Header({self.describe()})"

    def describe(self) -> str:
        return f"header {self._name} from {self._keys.describe()}"

    @property
    def settled(self) -> bool:
        return self._keys.settled

    def identity(self) -> str:
        """Raises CredentialError."""
        return self._veil.identity(self._name.lower(), self._prefix, *self._keys.values(self._value))

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
            carried = (sent.headers.get(self._name.lower()) or "").removeprefix(self._prefix)
            key = self._keys.another(carried, answer)
            return None if key is None else self._placed(request, key)
        return None

    def mask(self, text: str) -> str:
        with contextlib.suppress(CredentialError):
            self._keys.values(self._value)
        return self._veil.mask(text)

    def _placed(self, request: Request, key: Secret) -> Request:
        value = self._prefix.encode("latin-1") + field_value(self._value(key), key)
        return with_field(request, self._name.encode("latin-1"), value, self.replaced)

    def _value(self, key: Secret) -> str:
        value = revealed(key)
        self._veil.hide(value)
        # In `Token abc` it is the last word that an upstream would echo alone.
        _, space, last = value.rpartition(" ")
        if space:
            self._veil.hide(last)
        return value
