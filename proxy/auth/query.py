"""How is a key sent in the query? `?key=<value>`, percent-encoded, after the caller's own parameters."""

from __future__ import annotations

import contextlib

from proxy.auth.keys import Keys
from proxy.auth.placing import AUTHORIZATION, parameter, revealed, with_parameter, without_echo
from proxy.auth.veil import Veil
from proxy.core.failure import CredentialError
from proxy.core.message import Headers, Request, Response
from proxy.core.ports import Secret
from proxy.core.routing import Origin


class Query:
    """`{type: query, name: …, value: …}`; the name is compared with the caller's after decoding, exactly.

    Several values take turns.
    """

    __slots__ = ("_keys", "_name", "_veil")

    # The parameter's own twin is no field: `inject` takes it out of the target.
    replaced = AUTHORIZATION

    def __init__(self, name: str, value: Secret | Keys, salt: bytes) -> None:
        """Raises ValueError for an empty name or one with control characters."""
        if not name or not name.isprintable():
            raise ValueError("the name of the query parameter is empty or not printable")
        self._name = name
        self._keys = value if isinstance(value, Keys) else Keys((value,))
        self._veil = Veil("query", salt, present=len(self._keys))

    def __repr__(self) -> str:
        return f"Query({self.describe()})"

    def describe(self) -> str:
        return f"query parameter {self._name} from {self._keys.describe()}"

    @property
    def settled(self) -> bool:
        return self._keys.settled

    def identity(self) -> str:
        """Raises CredentialError."""
        return self._veil.identity(self._name, *self._keys.values(self._value))

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
            key = self._keys.another(parameter(sent, self._name), answer)
            return None if key is None else self._placed(request, key)
        return None

    def cleared(self, fields: Headers) -> Headers:
        return without_echo(fields, self._name)

    def mask(self, text: str) -> str:
        with contextlib.suppress(CredentialError):
            self._keys.values(self._value)
        return self._veil.mask(text)

    def _placed(self, request: Request, key: Secret) -> Request:
        return with_parameter(request, self._name, self._value(key), self.replaced)

    def _value(self, key: Secret) -> str:
        value = revealed(key)
        self._veil.hide(value)
        return value
