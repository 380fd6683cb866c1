"""How is a key sent in the query? `?key=<value>`, percent-encoded, after the caller's own parameters."""

from __future__ import annotations

import contextlib

from proxy.auth.placing import AUTHORIZATION, revealed, with_parameter
from proxy.auth.veil import Veil
from proxy.core.failure import CredentialError
from proxy.core.message import Request
from proxy.core.ports import Secret


class Query:
    """`{type: query, name: …, value: …}`; the name is compared with the caller's after decoding, exactly."""

    __slots__ = ("_name", "_value_from", "_veil")

    # The parameter's own twin is no field: `inject` takes it out of the target.
    replaced = AUTHORIZATION

    def __init__(self, name: str, value: Secret, salt: bytes) -> None:
        """Raises ValueError for an empty name or one with control characters."""
        if not name or not name.isprintable():
            raise ValueError("the name of the query parameter is empty or not printable")
        self._name = name
        self._value_from = value
        self._veil = Veil("query", salt)

    def __repr__(self) -> str:
        return f"Query({self.describe()})"

    def describe(self) -> str:
        return f"query parameter {self._name} from {self._value_from.describe()}"

    def identity(self) -> str:
        """Raises CredentialError."""
        return self._veil.identity(self._name, self._value())

    async def inject(self, request: Request) -> Request:
        return with_parameter(request, self._name, self._value(), self.replaced)

    def mask(self, text: str) -> str:
        with contextlib.suppress(CredentialError):
            self._value()
        return self._veil.mask(text)

    def _value(self) -> str:
        value = revealed(self._value_from)
        self._veil.hide(value)
        return value
