from __future__ import annotations

import pytest

from proxy.config.fields import RESERVED, Credential, field_name


@pytest.mark.parametrize("name", ["X-Api-Key", "authorization", "x_y", "A.b"])
def test_a_field_that_may_be_set(name: str) -> None:
    assert field_name(name) == name


@pytest.mark.parametrize("name", ["", "X Key", "X:", "Ключ", *sorted(RESERVED), "Host"])
def test_a_field_that_may_not(name: str) -> None:
    with pytest.raises(ValueError, match="header"):
        field_name(name)


def test_a_credential_has_no_secret_of_its_own() -> None:
    assert Credential().secrets() == ()
