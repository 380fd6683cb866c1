from __future__ import annotations

import jwt
import pytest

from proxy.auth.endpoint import endpoint
from proxy.auth.github_app import GithubApp
from proxy.core.failure import CredentialError
from tests.auth.planted import CANARY, Hands, Planted
from tests.auth.samples import PEM, PUBLIC, Provider, reply

PLACE = endpoint("https://api.github.com/app/installations/99/access_tokens")


def app(provider: Provider, **wish: object) -> GithubApp:
    return GithubApp(PLACE, "12345", Planted(PEM, "file app.pem"), wish, fetch=provider, clock=Hands())


async def test_the_app_s_proof_is_traded_for_a_token() -> None:
    provider = Provider(reply({"token": "ghs_1", "expires_at": "2015-08-30T13:36:00Z"}, status=201))
    obtained = await app(provider, repositories=["one"], permissions={"contents": "read"}).obtain(None)
    assert (obtained.value, obtained.lifetime) == ("ghs_1", 3600.0)
    [(origin, sent)] = provider.asked
    assert (sent.method, origin.url + sent.target) == ("POST", PLACE.url)
    assert await sent.body.read() == b'{"repositories": ["one"], "permissions": {"contents": "read"}}'
    proof = (sent.headers.get("authorization") or "").removeprefix("Bearer ")
    claims = jwt.decode(proof, PUBLIC, ["RS256"], options={"verify_exp": False})
    # Not ten minutes, and begun a minute ago: GitHub's clock may be another.
    assert claims == {"iss": "12345", "iat": 1440938160 - 60, "exp": 1440938160 + 540}


@pytest.mark.parametrize(
    ("fields", "end", "life"),
    [
        ([("Date", "Sun, 30 Aug 2015 13:00:00 GMT")], "2015-08-30T13:36:00Z", 2160.0),  # by GitHub's clock
        ([], "2015-08-30T13:00:00Z", 1440.0),
        ([], "2015-08-29T13:00:00Z", 3600.0),  # ours is off
        ([], "2015-09-29T13:00:00Z", 3600.0),
        ([], "soon", 3600.0),
        ([], None, 3600.0),
    ],
)
async def test_how_long_it_lives(fields: list[tuple[str, str]], end: str | None, life: float) -> None:
    provider = Provider(reply({"token": "ghs_1", "expires_at": end}, *fields, status=201))
    assert (await app(provider).obtain(None)).lifetime == life


async def test_a_clock_that_is_minutes_off_is_set_by_github_s_answer_once() -> None:
    told = [("Date", "Sun, 30 Aug 2015 12:20:00 GMT")]
    refused = reply({"message": "'Issued at' claim ('iat') must be in the past"}, *told, status=401)
    granted = reply({"token": "ghs_1", "expires_at": "2015-08-30T13:20:00Z"}, *told, status=201)
    provider = Provider(refused, granted, refused)
    made = app(provider)
    assert (await made.obtain(None)).value == "ghs_1"
    with pytest.raises(CredentialError, match="answered 401"):
        await made.obtain("ghs_1")
    begun = []
    for _, sent in provider.asked:
        proof = (sent.headers.get("authorization") or "").removeprefix("Bearer ")
        begun.append(jwt.decode(proof, options={"verify_signature": False})["iat"])
    ours = 1440938160 - 60
    assert begun == [ours, ours - 960, ours - 960], "what is known already is not tried again"


@pytest.mark.parametrize(
    ("said", "status", "words"),
    [
        ({"message": CANARY}, 404, r"of api.github.com answered 404\.$"),
        ({"token": f"{CANARY}\n"}, 201, "gave no usable token"),
        ({}, 201, "gave no usable token"),
    ],
)
async def test_what_is_no_token(said: dict[str, str], status: int, words: str) -> None:
    with pytest.raises(CredentialError, match=words) as told:
        await app(Provider(reply(said, status=status))).obtain(None)
    assert CANARY not in str(told.value)


def test_what_tells_installations_apart() -> None:
    wishes: list[dict[str, object]] = [{}, {"repositories": ["a"]}, {"repositories": ["b"]}]
    assert len({app(Provider(reply({})), **wish).client() for wish in wishes}) == 3
