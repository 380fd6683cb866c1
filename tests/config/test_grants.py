from __future__ import annotations

import importlib.util
from typing import Annotated, Any

import pytest
from pydantic import Field, TypeAdapter, ValidationError

from proxy.config import grants
from proxy.config.grants import GithubAppCredential, JwtBearerCredential, OAuth2Credential

ANY: TypeAdapter[Any] = TypeAdapter(
    Annotated[OAuth2Credential | JwtBearerCredential | GithubAppCredential, Field(discriminator="type")]
)
OAUTH2 = {"type": "oauth2", "token_url": "https://auth.example.com/t", "client_id": "me"}
JWT = {"type": "jwt_bearer"}
OWN = {**JWT, "token_url": "https://auth.example.com/t", "issuer": "me", "private_key": "canary"}
APP = {"type": "github_app", "app_id": "Iv1.a", "installation_id": 8, "private_key": "canary"}


@pytest.mark.parametrize(
    ("over", "method"),
    [
        ({"client_secret": "s"}, "client_secret_basic"),
        ({"client_secret": "s", "token_endpoint_auth_method": "client_secret_post"}, "client_secret_post"),
        ({"private_key": "s"}, "private_key_jwt"),
        ({"refresh_token": "s"}, "none"),
    ],
)
def test_how_the_client_proves_who_it_is(over: dict[str, str], method: str) -> None:
    assert OAuth2Credential.model_validate({**OAUTH2, **over}).method == method


def test_one_word_or_several() -> None:
    found = OAuth2Credential.model_validate(
        {**OAUTH2, "client_secret": "s", "scope": "a", "resource": ["b", "c"]}
    )
    assert (found.scope, found.resource) == (["a"], ["b", "c"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (OAUTH2, "proves nothing about itself; write client_secret"),
        ({**OAUTH2, "token_endpoint_auth_method": "client_secret_post"}, "needs client_secret; write"),
        ({**OAUTH2, "token_endpoint_auth_method": "private_key_jwt"}, "needs private_key; write"),
        ({**OAUTH2, "client_secret": "canary", "private_key": "canary"}, "exclude each other"),
        ({**OAUTH2, "client_secret": "canary", "state_file": "/x"}, "write refresh_token, or remove it"),
        ({**OAUTH2, "client_secret": "canary", "token_url": "auth"}, "should be a URL such as https"),
        ({**OAUTH2, "client_secret": "canary", "token_url": 7}, "should be a URL such as https"),
        (
            {**OAUTH2, "client_secret": "canary", "token_url": "https://a:b@c/"},
            "write them as fields of auth",
        ),
        ({**JWT, "token_url": "https://a/"}, "issuer is missing; write it, or service_account"),
        ({**OWN, "service_account": "canary"}, "the service account's file holds token_url; remove it"),
        ({**OWN, "lifetime": "25h"}, "at most a day"),
        ({**OWN, "lifetime": "0s"}, "above 0"),
        ({**OWN, "claims": {"iss": "x"}}, "iss has a field of its own"),
        ({**OWN, "algorithm": "HS256"}, "RS256"),
        ({**APP, "installation_id": True}, "string"),
        ({**APP, "installation_id": "a/b"}, "pattern"),
        ({**APP, "permissions": {"contents": "all"}}, "read"),
    ],
)
def test_what_is_no_grant_is_told_with_its_cure(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message) as told:
        ANY.validate_python(given)
    assert "canary" not in str(told.value.errors(include_input=False))


@pytest.mark.parametrize("given", [{**OAUTH2, "private_key": "k"}, OWN, APP], ids=lambda given: given["type"])
def test_what_signs_names_the_extra_that_it_needs(
    given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        grants, "find_spec", lambda name: importlib.util.find_spec(name) if name != "jwt" else None
    )
    with pytest.raises(ValidationError, match=r"needs PyJWT; pip install 'leeward\[jwt\]'"):
        ANY.validate_python(given)
