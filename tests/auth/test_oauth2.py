from __future__ import annotations

import base64
import logging
import os
from pathlib import Path
from urllib.parse import parse_qs

import jwt
import pytest

from proxy.auth.endpoint import endpoint
from proxy.auth.oauth2 import Client, ClientKey, OAuth2, Wish
from proxy.auth.rotation import Kept, Shelf, mark
from proxy.core.failure import CredentialError
from proxy.core.message import Request
from tests.auth.planted import CANARY, Hands, Planted
from tests.auth.samples import PEM, PUBLIC, TOKEN_URL, Provider, reply, token

NONE = Wish()
WISH = Wish(scope="read write", audience="https://api", resource=("https://a", "https://b"))


def client(method: str, *, secret: str = CANARY) -> Client:
    key = ClientKey(key=Planted(PEM, "file key.pem"), algorithm="PS256", key_id="kid-7")
    return Client(client_id=Planted("me:you"), method=method, secret=Planted(secret), key=key)


def grant(
    provider: Provider, method: str = "client_secret_basic", wish: Wish = NONE, **more: object
) -> OAuth2:
    return OAuth2(endpoint(TOKEN_URL), client(method), wish, fetch=provider, clock=Hands(), **more)  # type: ignore[arg-type]  # what a test is about


async def form(request: Request) -> dict[str, list[str]]:
    body = request.body
    found = parse_qs((await body.read()).decode(), strict_parsing=True)
    body.close()
    return found


async def test_client_credentials_with_basic() -> None:
    provider = Provider(token("tok", expires_in=60))
    obtained = await grant(provider, wish=WISH).obtain(None)
    assert (obtained.value, obtained.lifetime) == ("tok", 60.0)
    [(_, sent)] = provider.asked
    assert await form(sent) == {
        "grant_type": ["client_credentials"],
        "scope": ["read write"],
        "audience": ["https://api"],
        "resource": ["https://a", "https://b"],
    }
    scheme, _, pair = (sent.headers.get("authorization") or "").partition(" ")
    # Both halves are form-encoded first (RFC 6749 §2.3.1).
    assert (scheme, base64.b64decode(pair)) == ("Basic", b"me%3Ayou:c4nary%2FS3cret%2Bvalue%3D%3D")


async def test_client_credentials_in_the_form() -> None:
    provider = Provider(token())
    await grant(provider, "client_secret_post").obtain(None)
    [(_, sent)] = provider.asked
    assert sent.headers.get("authorization") is None
    assert await form(sent) == {
        "grant_type": ["client_credentials"],
        "client_id": ["me:you"],
        "client_secret": [CANARY],
    }


async def test_client_credentials_with_a_signed_assertion() -> None:
    provider = Provider(token(), token())
    made = grant(provider, "private_key_jwt")
    await made.obtain(None)
    await made.obtain(None)
    ids = set()
    for _, sent in provider.asked:
        said = await form(sent)
        assert said["client_assertion_type"] == ["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"]
        assert "client_secret" not in said
        [assertion] = said["client_assertion"]
        assert jwt.get_unverified_header(assertion)["kid"] == "kid-7"
        options = {"verify_exp": False, "verify_iat": False}
        claims = jwt.decode(assertion, PUBLIC, ["PS256"], audience=TOKEN_URL, options=options)  # type: ignore[arg-type]  # PyJWT's own options are a TypedDict
        assert (claims["iss"], claims["sub"]) == ("me:you", "me:you")
        assert claims["exp"] - claims["iat"] == 60
        ids.add(claims["jti"])
    assert len(ids) == 2, "each is used once"


async def test_a_key_that_cannot_sign_is_told_without_itself() -> None:
    broken = Client(
        client_id=Planted("me"),
        method="private_key_jwt",
        key=ClientKey(key=Planted(f"-----BEGIN {CANARY}", "file key.pem"), algorithm="RS256"),
    )
    made = OAuth2(endpoint(TOKEN_URL), broken, NONE, fetch=Provider(token()), clock=Hands())
    with pytest.raises(CredentialError, match=r"The key from file key\.pem cannot sign with RS256") as told:
        await made.obtain(None)
    assert CANARY not in str(told.value)


async def test_a_public_client_says_its_name_only() -> None:
    provider = Provider(token())
    await grant(provider, "none", refresh=Planted("refresh-1")).obtain(None)
    [(_, sent)] = provider.asked
    assert await form(sent) == {
        "grant_type": ["refresh_token"],
        "refresh_token": ["refresh-1"],
        "client_id": ["me:you"],
    }


async def sent_refresh_tokens(provider: Provider) -> list[str]:
    return [(await form(sent))["refresh_token"][0] for _, sent in provider.asked]


async def test_a_replaced_refresh_token_is_used_from_then_on(caplog: pytest.LogCaptureFixture) -> None:
    provider = Provider(token(refresh_token="refresh-2"), token(refresh_token="refresh-3"), token())
    rotated: dict[str, Kept] = {}
    made = grant(provider, refresh=Planted("refresh-1"), rotated=rotated)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            await made.obtain(None)
    assert "no state_file is set" in caplog.text
    assert "refresh-" not in caplog.text
    assert {"refresh-1", "refresh-3"} <= set(made.secrets())
    # After a reload.
    await grant(provider, refresh=Planted("refresh-1"), rotated=rotated).obtain(None)
    assert await sent_refresh_tokens(provider) == ["refresh-1", "refresh-2", "refresh-3"]


async def test_a_newly_configured_refresh_token_wins_over_what_came_of_the_old(tmp_path: Path) -> None:
    provider = Provider(token(refresh_token="old-2"), token(refresh_token="new-2"), token())
    refresh = Planted("old-1")
    made = grant(provider, refresh=refresh, shelf=Shelf(tmp_path / "state"))
    await made.obtain(None)
    refresh.value = "new-1"
    await made.obtain(None)
    await made.obtain(CANARY)
    assert await sent_refresh_tokens(provider) == ["old-1", "new-1", "new-2"]


async def test_a_rotated_refresh_token_outlives_the_process(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "state")
    first = Provider(token("tok-1", refresh_token="refresh-2"))
    await grant(first, refresh=Planted("refresh-1"), shelf=shelf).obtain(None)
    second = Provider(token("tok-2"))
    got = await grant(second, refresh=Planted("refresh-1"), shelf=shelf).obtain("tok-1")
    assert got.value == "tok-2"
    assert await sent_refresh_tokens(second) == ["refresh-2"]


async def test_another_worker_s_fresh_token_is_used(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "state")
    theirs = Provider(token("tok-1", refresh_token="refresh-2"))
    await grant(theirs, refresh=Planted("refresh-1"), shelf=shelf).obtain(None)
    ours = Provider(token("tok-2"))
    made = grant(ours, refresh=Planted("refresh-1"), shelf=shelf)
    got = await made.obtain(None)
    assert (got.value, got.lifetime, ours.asked) == ("tok-1", 3600.0, [])
    assert (await made.obtain("tok-1")).value == "tok-2", "but not the one that is to be replaced"


async def test_a_file_that_cannot_be_written_any_more_brings_no_used_token_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = Shelf(tmp_path / "state")
    replies = [token(f"tok-{number}", refresh_token=f"refresh-{number}") for number in (2, 3, 4, 5)]
    provider = Provider(*replies)
    made = grant(provider, refresh=Planted("refresh-1"), shelf=shelf)
    await made.obtain(None)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        await made.obtain("tok-2")
        await made.obtain("tok-3")
    await made.obtain("tok-4")
    assert await sent_refresh_tokens(provider) == ["refresh-1", "refresh-2", "refresh-3", "refresh-4"]
    kept = await shelf.read(mark(TOKEN_URL, "refresh-1"))
    assert kept is not None
    assert (kept.refresh, kept.turn) == ("refresh-5", 4), "once there is room it is written again"


async def test_a_refusal_leaves_what_is_kept(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "state")
    provider = Provider(
        token("tok-1", refresh_token="refresh-2"),
        reply({"error": "temporarily_unavailable"}, status=503),
        token(),
    )
    made = grant(provider, refresh=Planted("refresh-1"), shelf=shelf)
    await made.obtain(None)
    with pytest.raises(CredentialError, match="temporarily_unavailable"):
        await made.obtain("tok-1")
    await made.obtain("tok-1")
    assert await sent_refresh_tokens(provider) == ["refresh-1", "refresh-2", "refresh-2"]


def test_users_and_wishes_tell_clients_apart() -> None:
    found = {
        grant(Provider(token()), wish=wish, refresh=None if user is None else Planted(user)).client()
        for wish in (NONE, WISH)
        for user in (None, "one", "two")
    }
    assert len(found) == 6
