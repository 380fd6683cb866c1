from __future__ import annotations

import pickle

from proxy.auth.none import NoCredential
from proxy.core.ports import Injector
from tests.auth.planted import ORIGIN, request


async def test_the_callers_own_credential_passes() -> None:
    injector: Injector = NoCredential()
    before = request(("Authorization", "Bearer callers"))
    assert await injector.inject(before, ORIGIN) is before
    assert injector.replaced == frozenset()


def test_there_is_nothing_to_hide() -> None:
    injector = NoCredential()
    assert injector.identity() == "none"
    assert injector.mask("text") == "text"
    assert "none" in injector.describe()
    assert repr(pickle.loads(pickle.dumps(injector))) == "NoCredential()"
