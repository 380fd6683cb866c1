"""Is a credential still the one by which something was decided?

The law: it is asked each time, but for one that can never be another.
"""

from __future__ import annotations

from functools import lru_cache
from typing import cast

from proxy.core.failure import CredentialError
from proxy.core.ports import Injector, Settled


class Same:
    """That of one moment. Raises CredentialError where there was none then."""

    __slots__ = ("_identity", "_injector", "settled")

    def __init__(self, injector: Injector) -> None:
        self._injector = injector
        self._identity = injector.identity()
        self.settled = _settles(type(injector)) and cast("Settled", injector).settled

    def holds(self) -> bool:
        if self.settled:
            return True
        try:
            return self._injector.identity() == self._identity
        except CredentialError:
            return False


@lru_cache
def _settles(kind: type[object]) -> bool:
    """Whether such an injector is a `Settled`; to ask a protocol each time takes as long as a look-up."""
    return hasattr(kind, "settled")
