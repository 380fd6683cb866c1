"""What the operator writes about a credential becomes what injects it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proxy.auth.basic import Basic
from proxy.auth.bearer import Bearer
from proxy.auth.granted import GrantedToken
from proxy.auth.header import Header
from proxy.auth.hmac import Hmac
from proxy.auth.mtls import MutualTLS
from proxy.auth.none import NoCredential
from proxy.auth.query import Query
from proxy.auth.several import Several
from proxy.auth.sigv4 import SigV4
from proxy.auth.surroundings import Surroundings
from proxy.config.loading import load
from proxy.core.ports import Injector
from proxy.injection import injector
from tests.auth.planted import ORIGIN, SALT, Hands, request
from tests.auth.samples import ACCOUNT, PEM, Provider, token
from tests.config.test_credentials import GIVEN

BASE = "https://api.example.com:8443/v1"


def built(auth: Any, provider: Provider | None = None, **upstream: Any) -> Injector:
    data = {"upstreams": {"up": {"base_url": BASE, "auth": auth, **upstream}}}
    settings = load(None, data, {}).settings
    here = Surroundings(
        salt=SALT, clock=Hands(), chance=lambda: 0.0, fetch=provider or Provider(token()), rotated={}
    )
    return injector(settings.upstreams["up"], here)


KINDS = [
    *(NoCredential, Bearer, Basic, Header, Query, GrantedToken, SigV4, Hmac, GrantedToken, GrantedToken),
    MutualTLS,
]


@pytest.mark.parametrize(
    ("auth", "kind"), list(zip(GIVEN, KINDS, strict=True)), ids=lambda one: str(one)[:30]
)
def test_each_type_becomes_its_injector(auth: dict[str, Any], kind: type[Injector]) -> None:
    assert type(built(auth)) is kind
    assert "canary" not in repr(built(auth))


def test_a_list_becomes_one_of_several() -> None:
    several = built([GIVEN[3], GIVEN[4]])
    assert isinstance(several, Several)
    assert several.describe() == "header X-Api-Key from configuration; query parameter key from configuration"


async def ask(auth: dict[str, Any], **upstream: Any) -> tuple[str, str, str]:
    """Where a grant is asked for a token, as whom, and with what."""
    provider = Provider(token(token="ghs"))
    made = built(auth, provider, **upstream)
    await made.inject(request(), ORIGIN)
    [(origin, sent)] = provider.asked
    return (
        origin.url + sent.target,
        sent.headers.get("authorization") or "",
        (await sent.body.read()).decode(),
    )


async def test_oauth2_as_it_is_written(tmp_path: Path) -> None:
    auth = {
        **GIVEN[5],
        "scope": ["a", "b"],
        "audience": "aud",
        "resource": "res",
        "refresh_token": "refresh-1",
        "state_file": str(tmp_path / "state"),
        "token_endpoint_auth_method": "client_secret_post",
    }
    url, _, form = await ask(auth)
    assert url == "https://auth.example.com/token"
    assert form == (
        "grant_type=refresh_token&refresh_token=refresh-1&scope=a+b&audience=aud&resource=res"
        "&client_id=canary-6&client_secret=canary-7"
    )
    assert (tmp_path / "state").is_file()


async def test_a_client_with_a_key() -> None:
    auth = {"type": "oauth2", "token_url": "https://a.example/t", "client_id": "me", "private_key": PEM}
    url, authorization, form = await ask(auth)
    assert (url, authorization) == ("https://a.example/t", "")
    assert "client_assertion=ey" in form


async def test_google_s_key_file() -> None:
    url, _, form = await ask({"type": "jwt_bearer", "service_account": ACCOUNT})
    assert url == "https://oauth2.googleapis.com/token"
    assert "assertion=ey" in form


async def test_an_issuer_of_one_s_own() -> None:
    url, _, form = await ask({**GIVEN[8], "private_key": PEM, "scope": "x", "claims": {"n": 1}})
    assert url == "https://auth.example.com/token"
    assert "assertion=ey" in form


@pytest.mark.parametrize(
    ("over", "url"),
    [
        ({}, f"{BASE}/app/installations/8/access_tokens"),
        (
            {"api_url": "https://ghe.example/api/v3/"},
            "https://ghe.example/api/v3/app/installations/8/access_tokens",
        ),
    ],
)
async def test_a_github_app_asks_its_own_api(over: dict[str, str], url: str) -> None:
    asked, authorization, body = await ask({**GIVEN[9], "private_key": PEM, "repositories": ["one"], **over})
    assert asked == url
    assert authorization.startswith("Bearer ey")
    assert body == '{"repositories": ["one"]}'


def test_without_keys_aws_s_chain_is_asked() -> None:
    auth = {"type": "sigv4", "service": "s3", "region": "eu-west-1", "profile": "work"}
    assert built(auth).describe() == "sigv4 for s3 in eu-west-1, AWS profile work"


def test_a_prefix_is_written_before_the_value() -> None:
    assert isinstance(built({**GIVEN[3], "prefix": "Key "}), Header)
