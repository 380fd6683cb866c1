from __future__ import annotations

from typing import Any

import pytest

from proxy.auth.endpoint import endpoint
from proxy.auth.granting import ask, document, granted, token_of
from proxy.core.failure import CredentialError
from proxy.core.message import Headers
from proxy.core.ports import Reply
from tests.auth.planted import CANARY
from tests.auth.samples import TOKEN_URL, Provider, reply, token

PLACE = endpoint(TOKEN_URL)


def body(data: bytes, status: int = 200) -> Reply:
    return Reply(status=status, headers=Headers(), body=data)


@pytest.mark.parametrize(
    ("said", "lifetime", "refresh"),
    [
        ({}, 3600.0, None),
        ({"expires_in": "60"}, 60.0, None),
        ({"expires_in": 0.5}, 0.5, None),
        ({"expires_in": None}, None, None),
        ({"expires_in": 1e12}, 366 * 86400.0, None),
        ({"token_type": "bearer", "refresh_token": "r"}, 3600.0, "r"),
    ],
)
def test_a_grant(said: dict[str, Any], lifetime: float | None, refresh: str | None) -> None:
    found = granted(token(**said), PLACE, 0.0)
    assert (found.token, found.lifetime, found.refresh) == (CANARY, lifetime, refresh)
    assert CANARY not in repr(found)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (body(b""), "answered 200 with what is no JSON object"),
        (body(b"<html>" + CANARY.encode()), "no JSON object"),
        (body(b"[" * 60000), "no JSON object"),
        (body(b'"c4nary"'), "no JSON object"),
        (body(b"\xff\xfe{}"), "no JSON object"),
        (reply({}), "without a usable access_token"),
        (token(""), "without a usable access_token"),
        (token("a\r\nX: y"), "without a usable access_token"),
        (token("a b"), "without a usable access_token"),
        (token(access_token=7), "without a usable access_token"),
        (token("x" * 20000), "without a usable access_token"),
        (token(token_type="DPoP"), "is not Bearer"),
        (token(token_type=["bearer"]), "is not Bearer"),
        (token(expires_in=0), "lives for no time"),
        (token(expires_in=-1), "lives for no time"),
        (token(expires_in="soon"), "lives for no time"),
        (token(expires_in="nan"), "lives for no time"),
        (token(expires_in=True), "lives for no time"),
        (token(expires_in=[1]), "lives for no time"),
        (token(refresh_token="a\nb"), "refresh_token that cannot be used"),
        (reply({"error": "invalid_client", "x": CANARY}, status=401), r"answered 401 \(invalid_client\)\.$"),
        (reply({"error": "bad_verification_code"}), r"answered 200 \(bad_verification_code\)\.$"),
        (reply({"error": f"{CANARY} "}, status=400), r"answered 400\.$"),
        (reply({"error": {"message": CANARY}}, status=500), r"answered 500\.$"),
        (body(b"garbage", 302), r"answered 302\.$"),
    ],
)
def test_what_is_no_grant_is_told_by_no_more_than_its_status_and_word(answer: Reply, words: str) -> None:
    with pytest.raises(CredentialError, match=words) as told:
        granted(answer, PLACE, 0.0)
    assert told.value.detail.startswith("The token endpoint of auth.example.com ")
    assert CANARY not in told.value.detail


def test_when_to_come_back_is_the_provider_s_word() -> None:
    with pytest.raises(CredentialError) as told:
        document(reply({}, ("Retry-After", "7"), status=503), PLACE, 0.0)
    assert told.value.retry_after == 7.0


def test_a_token_that_can_be_sent() -> None:
    assert token_of("abc", PLACE) == "abc"
    for value in (None, "", "a b", "a\n", 7):
        with pytest.raises(CredentialError, match="no usable token"):
            token_of(value, PLACE)


async def test_it_is_asked_with_a_form() -> None:
    provider = Provider(token())
    await ask(provider, PLACE, [("a", "b c"), ("d", "é&")], Headers.of(("X", "y")), wall=0.0)
    [(origin, sent)] = provider.asked
    assert origin.authority == "auth.example.com"
    assert sent.headers.get("content-type") == "application/x-www-form-urlencoded"
    assert await sent.body.read() == b"a=b+c&d=%C3%A9%26"
