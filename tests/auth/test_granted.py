from __future__ import annotations

import pickle
import random
from collections.abc import Callable

import pytest

from proxy.auth import oauth2
from proxy.auth.endpoint import endpoint
from proxy.auth.granted import GrantedToken
from proxy.core.failure import CredentialError
from proxy.core.ports import Expiring, Fetch, Injector, Renewable
from tests.auth.planted import CANARY, ORIGIN, SALT, Hands, Planted, answered, request
from tests.auth.samples import TOKEN_URL, Provider, grants, reply, token


def made(
    provider: Fetch, clock: Hands | None = None, *, client_id: str = "me", scope: str = ""
) -> GrantedToken:
    client = oauth2.Client(client_id=Planted(client_id), method="client_secret_post", secret=Planted())
    wish = oauth2.Wish(scope=scope)
    hands = clock or Hands()
    grant = oauth2.OAuth2(endpoint(TOKEN_URL), client, wish, fetch=provider, clock=hands)
    return GrantedToken(grant, SALT, hands, lambda: 0.0)


async def test_the_token_is_the_one_authorization() -> None:
    injector: Injector = made(Provider(token("tok-1")))
    sent = await injector.inject(request(("AUTHORIZATION", "callers"), ("X", "y")), ORIGIN)
    assert list(sent.headers) == [("x", "y"), ("authorization", "Bearer tok-1")]
    assert injector.replaced == {"authorization"}
    assert isinstance(injector, Renewable)
    assert isinstance(injector, Expiring)


async def test_after_a_401_there_is_a_new_token() -> None:
    provider = Provider(token("tok-1"), token("tok-2"))
    injector = made(provider)
    sent = await injector.inject(request(), ORIGIN)
    for status in (200, 400, 403, 429, 500):
        assert await injector.another(sent, answered(status), request(), ORIGIN) is None
    again = await injector.another(sent, answered(401), request(), ORIGIN)
    assert again is not None
    assert again.headers.get("authorization") == "Bearer tok-2"
    assert await injector.another(again, answered(401), request(), ORIGIN) is None
    assert await injector.another(request(), answered(401), request(), ORIGIN) is None
    assert len(provider.asked) == 2


async def test_the_identity_is_the_client_s_and_outlives_its_tokens() -> None:
    injector = made(Provider(token("tok-1"), token("tok-2")))
    before = injector.identity()
    sent = await injector.inject(request(), ORIGIN)
    await injector.another(sent, answered(401), request(), ORIGIN)
    assert injector.identity() == before
    assert injector.identity() != made(Provider(token()), client_id="you").identity()
    assert injector.identity() != made(Provider(token()), scope="all").identity()


async def test_what_is_left_is_told() -> None:
    clock = Hands()
    injector = made(Provider(token()), clock)
    assert injector.expires() is None
    await injector.inject(request(), ORIGIN)
    clock.time = 600
    assert injector.expires() == 3000
    await injector.close()


@pytest.mark.parametrize("number", range(3), ids=["oauth2", "jwt_bearer", "github_app"])
async def test_every_grant_hides_its_secrets(number: int) -> None:
    grant = list(grants())[number]
    injector = GrantedToken(grant, SALT, Hands(), random.random)
    assert repr(grant).startswith(type(grant).__name__)
    sent = await injector.inject(request(), ORIGIN)
    texts = [injector.describe(), repr(injector), str(injector), injector.identity(), repr(sent), repr(grant)]
    for secret in [CANARY, *grant.secrets()]:
        assert secret not in " ".join(texts)
        assert injector.mask(f"<{secret}>") == "<***>"
    with pytest.raises(TypeError):
        pickle.dumps(injector)


REPLIES: list[Callable[[], Provider]] = [
    lambda: Provider(reply({"error": "invalid_client", "sent": CANARY}, status=401)),
    lambda: Provider(reply({"error": CANARY}, status=500)),
    lambda: Provider(token(f"{CANARY} \n")),
    lambda: Provider(CredentialError("No connection.")),
    lambda: Provider(RuntimeError(CANARY)),
]


@pytest.mark.parametrize("provider", REPLIES)
async def test_a_provider_s_failure_is_typed_and_tells_no_secret(provider: Callable[[], Provider]) -> None:
    asked = provider()
    injector = made(asked)
    for _ in range(50):
        with pytest.raises(CredentialError) as told:
            await injector.inject(request(), ORIGIN)
        assert CANARY not in injector.mask(told.value.detail)
        assert told.value.retry_after is not None
    assert len(asked.asked) == 1


async def test_a_provider_that_calls_its_error_by_our_secret_tells_nobody() -> None:
    word = "s3cret-that-could-be-an-error_word"
    client = oauth2.Client(client_id=Planted("me"), method="client_secret_basic", secret=Planted(word))
    provider, hands = Provider(reply({"error": word}, ("Retry-After", "7"), status=400)), Hands()
    grant = oauth2.OAuth2(endpoint(TOKEN_URL), client, oauth2.Wish(), fetch=provider, clock=hands)
    with pytest.raises(CredentialError, match=r"answered 400 \(\*\*\*\)") as raised:
        await GrantedToken(grant, SALT, hands, lambda: 0.0).inject(request(), ORIGIN)
    assert word not in repr(raised.value)
    assert raised.value.retry_after == 7
