from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from proxy.config.credentials import secrets_of
from proxy.config.schemes import AllAuth
from tests.config.test_credentials import AUTH, GIVEN


def test_one_alone_is_the_same_whether_it_is_read_now_or_later() -> None:
    whole: TypeAdapter[Any] = TypeAdapter(AllAuth)
    for given in GIVEN:
        assert whole.validate_python(given) == AUTH.validate_python(given)


def test_several_go_out_together() -> None:
    several = AUTH.validate_python([GIVEN[3], GIVEN[4], GIVEN[1]])
    assert isinstance(several, tuple)
    assert [secret.reveal() for secret in secrets_of(several)] == ["canary-4", "canary-5", "canary-1"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([GIVEN[1], GIVEN[1]], "type bearer can be there once"),
        ([GIVEN[0], GIVEN[1]], "none has no place among others"),
        ([GIVEN[3], {**GIVEN[3], "name": "x-api-key"}], "write the same header"),
    ],
)
def test_what_cannot_go_out_together(given: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        AUTH.validate_python(given)
