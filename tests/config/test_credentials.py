from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from proxy.config.credentials import (
    HERE,
    RESERVED,
    AnyCredential,
    Auth,
    BasicCredential,
    HeaderCredential,
    NoCredential,
    secrets_of,
)

AUTH: TypeAdapter[AnyCredential] = TypeAdapter(Auth)

GIVEN: list[dict[str, Any]] = [
    {"type": "none"},
    {"type": "bearer", "token": "canary-1"},
    {"type": "basic", "username": "canary-2", "password": "canary-3"},
    {"type": "header", "name": "X-Api-Key", "value": "canary-4"},
    {"type": "query", "name": "key", "value": "canary-5"},
]


@pytest.mark.parametrize("given", GIVEN, ids=lambda given: given["type"])
def test_each_type_with_its_fields(given: dict[str, Any]) -> None:
    credential = AUTH.validate_python(given)
    assert credential.type == given["type"]
    revealed = {secret.reveal() for secret in secrets_of(credential)}
    assert revealed == {value for value in given.values() if value.startswith("canary")}
    for shown in (repr(credential), credential.model_dump_json(), str(credential.model_dump())):
        assert "canary" not in shown


def test_the_list_of_types_is_whole() -> None:
    assert [given["type"] for given in GIVEN] == list(HERE)


@pytest.mark.parametrize("kind", ["oauth2", "sigv4", "hmac", "jwt_bearer", "github_app", "mtls"])
def test_types_of_later_versions_are_refused_with_what_there_is(kind: str) -> None:
    with pytest.raises(
        ValidationError, match="not in this version; it has none, bearer, basic, header, query"
    ):
        AUTH.validate_python({"type": kind, "token_url": "https://x"})


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"type": "digest"},
        {"token": "canary"},
        {"type": "bearer"},
        {"type": "bearer", "token": "canary", "name": "x"},
        {"type": "header", "name": "", "value": "canary"},
        {"type": "header", "name": "X Key", "value": "canary"},
        {"type": "header", "name": "X-Key:", "value": "canary"},
        {"type": "query", "name": "", "value": "canary"},
        {"type": "query", "name": "a&b", "value": "canary"},
        {"type": "query", "name": "a b", "value": "canary"},
        "canary",
    ],
)
def test_what_is_no_credential_is_refused_without_its_value(given: object) -> None:
    with pytest.raises(ValidationError) as caught:
        AUTH.validate_python(given)
    assert "canary" not in str(caught.value.errors(include_input=False))


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_a_credential_cannot_be_put_into_a_field_of_the_hop(name: str) -> None:
    with pytest.raises(ValidationError, match="choose another header"):
        HeaderCredential.model_validate({"type": "header", "name": name.title(), "value": "x"})


def test_either_half_of_basic_may_be_empty() -> None:
    half = BasicCredential.model_validate({"type": "basic", "username": "sk_live", "password": ""})
    assert [secret.reveal() for secret in secrets_of(half)] == ["sk_live", ""]
    assert secrets_of(NoCredential()) == ()
