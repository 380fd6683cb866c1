from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

import jwt
import pytest

from proxy.auth.jwt_bearer import JwtBearer, ServiceAccount, Statement
from proxy.core.failure import CredentialError
from tests.auth.planted import CANARY, Hands, Planted
from tests.auth.samples import ACCOUNT, PEM, PUBLIC, TOKEN_URL, Provider, own, token

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


async def stated(made: JwtBearer, provider: Provider, audience: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The header and the claims of what was sent, its signature checked."""
    obtained = await made.obtain(None)
    assert (obtained.value, obtained.lifetime) == (CANARY, 3600.0)
    [(_, sent)] = provider.asked
    said = parse_qs((await sent.body.read()).decode())
    assert said["grant_type"] == [GRANT]
    [assertion] = said["assertion"]
    claims = jwt.decode(assertion, PUBLIC, ["RS256"], audience=audience, options={"verify_exp": False})
    return jwt.get_unverified_header(assertion), claims


async def test_a_statement_of_rfc_7523() -> None:
    provider = Provider(token())
    statement = Statement(
        subject="user", audience="https://aud", scope="a b", lifetime=60, claims={"tenant": "t", "n": 1}
    )
    made = JwtBearer(own(), statement, fetch=provider, clock=Hands())
    header, claims = await stated(made, provider, "https://aud")
    assert (header["alg"], header["kid"]) == ("RS256", "k1")
    assert claims == {
        "iss": "me",
        "sub": "user",
        "aud": "https://aud",
        "iat": 1440938160,
        "exp": 1440938220,
        "scope": "a b",
        "tenant": "t",
        "n": 1,
    }


async def test_google_s_service_account() -> None:
    provider = Provider(token())
    by = ServiceAccount(file=Planted(ACCOUNT, "file google.json"))
    made = JwtBearer(by, Statement(scope="https://www.googleapis.com/auth/x"), fetch=provider, clock=Hands())
    header, claims = await stated(made, provider, "https://oauth2.googleapis.com/token")
    assert header["kid"] == "kid-1"
    assert claims["iss"] == "robot@project.iam.gserviceaccount.com"
    assert "sub" not in claims
    assert provider.asked[0][0].authority == "oauth2.googleapis.com"
    assert made.describe() == "jwt_bearer token, service account from file google.json"


def changed(**over: object) -> str:
    return json.dumps({**json.loads(ACCOUNT), **over})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is no JSON"),
        ("[]", "is no JSON object"),
        (changed(type="authorized_user"), "no key of a service account"),
        (changed(client_email=""), "no key of a service account"),
        (changed(private_key=None), "no key of a service account"),
        (changed(token_uri="ftp://x"), "token_uri in file google.json is no URL"),
        (changed(private_key=CANARY), "cannot sign with RS256"),
    ],
)
async def test_a_file_that_is_no_account_is_told_without_its_content(text: str, words: str) -> None:
    by = ServiceAccount(file=Planted(text, "file google.json"))
    made = JwtBearer(by, Statement(), fetch=Provider(token()), clock=Hands())
    with pytest.raises(CredentialError, match=words) as told:
        await made.obtain(None)
    assert CANARY not in str(told.value)
    assert PEM[40:80] not in str(told.value)


def test_what_tells_clients_apart() -> None:
    statements = [Statement(), Statement(subject="u"), Statement(audience="a"), Statement(scope="s")]
    statements += [Statement(claims={"tenant": tenant}) for tenant in ("one", "two")]
    found = {JwtBearer(own(), one, fetch=Provider(token()), clock=Hands()).client() for one in statements}
    assert len(found) == 6
    assert (TOKEN_URL, "me", "", "", "", "{}") in found
    assert PEM[40:80] not in repr(own().signer())
