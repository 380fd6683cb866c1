"""What if an API wants several credentials at once, such as two keys in two fields?

The law: each is put on in the order in which they are written, so that a signature, written last, covers
the others. Together they are one identity.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import replace

from proxy.auth.placing import without
from proxy.auth.veil import Veil
from proxy.core.failure import CredentialError
from proxy.core.message import Headers, Request, Response, lower_name
from proxy.core.ports import Echoed, Expiring, Injector, Renewable, Settled
from proxy.core.routing import Origin


class Several:
    """A list under `auth`."""

    __slots__ = ("_members", "_veil", "replaced")

    def __init__(self, members: Sequence[Injector], salt: bytes) -> None:
        self._members = tuple(members)
        self._veil = Veil("several", salt)
        self.replaced: frozenset[str] = frozenset().union(*(member.replaced for member in members))

    def __repr__(self) -> str:
        return f"Several({self.describe()})"

    def describe(self) -> str:
        return "; ".join(member.describe() for member in self._members)

    @property
    def settled(self) -> bool:
        return all(isinstance(member, Settled) and member.settled for member in self._members)

    def identity(self) -> str:
        """Raises CredentialError."""
        return self._veil.identity(*(member.identity() for member in self._members))

    async def inject(self, request: Request, origin: Origin) -> Request:
        request = without(request, self.replaced)
        for member in self._members:
            request = _beside(request, await member.inject(request, origin), self.replaced)
        return request

    async def another(
        self, sent: Request, answer: Response, request: Request, origin: Origin
    ) -> Request | None:
        """One of them is replaced, the first that has another; the rest stay as they are."""
        changed, found = without(request, self.replaced), False
        with contextlib.suppress(CredentialError):
            for member in self._members:
                other = None
                if not found and isinstance(member, Renewable):
                    other = await member.another(sent, answer, changed, origin)
                found = found or other is not None
                after = await member.inject(changed, origin) if other is None else other
                changed = _beside(changed, after, self.replaced)
            return changed if found else None
        return None

    def expires(self) -> float | None:
        """Of the one that ends first."""
        ends = [member.expires() for member in self._members if isinstance(member, Expiring)]
        return min((end for end in ends if end is not None), default=None)

    async def close(self) -> None:
        await asyncio.gather(*(member.close() for member in self._members if isinstance(member, Expiring)))

    def cleared(self, fields: Headers) -> Headers:
        for member in self._members:
            if isinstance(member, Echoed):
                fields = member.cleared(fields)
        return fields

    def mask(self, text: str) -> str:
        for member in self._members:
            text = member.mask(text)
        return text


def _beside(before: Request, after: Request, ours: frozenset[str]) -> Request:
    """`after` with what the members before it had put on: each of them drops the others' names."""
    lost = [
        field
        for field in before.headers.fields
        if lower_name(field[0]) not in after.headers and lower_name(field[0]).replace("_", "-") in ours
    ]
    return replace(after, headers=Headers((*after.headers.fields, *lost))) if lost else after
