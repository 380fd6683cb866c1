from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from proxy.config.credentials import (
    HERE,
    Auth,
    BasicCredential,
    HeaderCredential,
    NoCredential,
    secrets_of,
)
from proxy.config.fields import RESERVED
from proxy.config.schemes import AnyAuth, AnyCredential

AUTH: TypeAdapter[AnyAuth] = TypeAdapter(Auth)

GIVEN: list[dict[str, Any]] = [
    {"type": "none"},
    {"type": "bearer", "token": "canary-1"},
    {"type": "basic", "username": "canary-2", "password": "canary-3"},
    {"type": "header", "name": "X-Api-Key", "value": "canary-4"},
    {"type": "query", "name": "key", "value": "canary-5"},
    {
        "type": "oauth2",
        "token_url": "https://auth.example.com/token",
        "client_id": "canary-6",
        "client_secret": "canary-7",
    },
    {
        "type": "sigv4",
        "service": "s3",
        "region": "eu-west-1",
        "access_key_id": "canary-8",
        "secret_access_key": "canary-9",
        "session_token": "canary-10",
    },
    {
        "type": "hmac",
        "key": "canary-11",
        "key_id": "canary-12",
        "sign": "{timestamp}{body}",
        "headers": {"X-Sign": "{signature}"},
    },
    {
        "type": "jwt_bearer",
        "token_url": "https://auth.example.com/token",
        "issuer": "me",
        "private_key": "canary-13\nof two lines",
    },
    {"type": "github_app", "app_id": 7, "installation_id": 8, "private_key": "canary-14"},
    {"type": "mtls", "cert": "/c.pem", "key": "/k.pem"},
]


def one(given: object) -> AnyCredential:
    credential = AUTH.validate_python(given)
    assert not isinstance(credential, tuple)
    return credential


@pytest.mark.parametrize("given", GIVEN, ids=lambda given: given["type"])
def test_each_type_with_its_fields(given: dict[str, Any]) -> None:
    credential = one(given)
    assert credential.type == given["type"]
    revealed = {secret.reveal() for secret in secrets_of(credential)}
    assert revealed == {value for value in given.values() if str(value).startswith("canary")}
    for shown in (repr(credential), credential.model_dump_json(), str(credential.model_dump())):
        assert "canary" not in shown


def test_the_list_of_types_is_whole() -> None:
    assert [given["type"] for given in GIVEN] == list(HERE)


def test_keys_may_take_turns() -> None:
    credential = one({"type": "bearer", "token": ["canary-1", {"env": "B"}]})
    assert [secret.describe() for secret in secrets_of(credential)] == ["configuration", "env B"]


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
        {"type": "bearer", "token": []},
        {"type": "mtls", "cert": "canary"},
        "canary",
        [],
        ["canary"],
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
