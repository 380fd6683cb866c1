"""Is a credential compared with what it was, and not asked where it cannot be another?"""

from __future__ import annotations

from typing import cast

import pytest

from proxy.core.failure import CredentialError
from proxy.core.ports import Injector
from proxy.gateway.credential import Same
from tests.gateway.test_lasting import Changing


class Sure(Changing):
    settled = True


class Unsure(Changing):
    settled = False


def same(of: Changing) -> Same:
    return Same(cast("Injector", of))


@pytest.mark.parametrize("kind", [Changing, Unsure])
def test_it_is_asked_each_time(kind: type[Changing]) -> None:
    injector = kind()
    one = same(injector)
    assert not one.settled
    for name, holds in (("one", True), ("two", False), (None, False), ("one", True)):
        injector.name = name
        assert one.holds() is holds


def test_one_that_cannot_change_is_not_asked() -> None:
    injector = Sure()
    one = same(injector)
    injector.name = None
    assert one.settled
    assert one.holds()


def test_where_there_is_none_nothing_is_compared() -> None:
    injector = Changing()
    injector.name = None
    with pytest.raises(CredentialError):
        same(injector)
