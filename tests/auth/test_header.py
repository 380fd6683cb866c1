from __future__ import annotations

import pickle

import pytest

from proxy.auth.header import Header
from proxy.core.failure import CredentialError
from proxy.core.ports import Injector
from tests.auth.planted import CANARY, ORIGIN, SALT, Planted, request


@pytest.mark.parametrize("twin", ["X-Api-Key", "x-api-key", "X_API_KEY", "x_api-key"])
async def test_it_is_the_one_of_its_name_and_authorization_goes_too(twin: str) -> None:
    injector: Injector = Header("X-Api-Key", Planted(), SALT)
    after = await injector.inject(
        request((twin, "callers"), ("Authorization", "Bearer callers"), ("A", "b")), ORIGIN
    )
    assert after.headers.fields == ((b"A", b"b"), (b"X-Api-Key", CANARY.encode()))
    assert injector.replaced == {"authorization", "x-api-key"}


async def test_a_name_with_underscores_keeps_its_spelling() -> None:
    injector = Header("api_key", Planted(), SALT)
    after = await injector.inject(request(("Api-Key", "callers"), ("API_KEY", "callers")))
    assert after.headers.fields == ((b"api_key", CANARY.encode()),)
    assert "api-key" in injector.replaced


async def test_it_may_be_authorization_itself() -> None:
    injector = Header("Authorization", Planted(f"Token {CANARY}"), SALT)
    after = await injector.inject(request(("authorization", "callers")))
    assert list(after.headers) == [("authorization", f"Token {CANARY}")]
    assert injector.replaced == {"authorization"}
    # The word that says the scheme is no secret, the one after it is, wherever it stands alone.
    assert injector.mask(f"bad Token: {CANARY}") == "bad Token: ***"


@pytest.mark.parametrize("name", ["", "X Key", "X:Key", "X-Key\r\n", "Ключ", "Host", "content-length"])
def test_a_name_that_cannot_be_is_refused_at_the_start(name: str) -> None:
    with pytest.raises(ValueError, match=r"header|connection"):
        Header(name, Planted(), SALT)


@pytest.mark.parametrize("name", ["Connection", "Transfer-Encoding", "transfer_encoding", "TE", "Upgrade"])
def test_a_field_of_the_connection_carries_no_credential(name: str) -> None:
    with pytest.raises(ValueError, match="belongs to the connection"):
        Header(name, Planted(), SALT)


@pytest.mark.parametrize("value", ["", "a\r\nX: y", "a\nb", "a\0b", "鍵" * 4, "abcd "])
async def test_an_unfit_value_is_a_credential_error(value: str) -> None:
    with pytest.raises(CredentialError) as told:
        await Header("X-Api-Key", Planted(value), SALT).inject(request())
    assert not value or value not in str(told.value)


def test_name_and_value_make_the_identity() -> None:
    here = Header("X-Api-Key", Planted(), SALT).identity()
    assert here == Header("x-api-key", Planted(), SALT).identity()
    assert here != Header("X-Other-Key", Planted(), SALT).identity()
    assert here != Header("X-Api-Key", Planted("other-value"), SALT).identity()


async def test_it_hides_its_secret() -> None:
    injector = Header("X-Api-Key", Planted(), SALT)
    after = await injector.inject(request())
    assert injector.describe() == "header X-Api-Key from env PLANTED"
    for text in (injector.describe(), repr(injector), str(injector), injector.identity(), repr(after)):
        assert CANARY not in text
    assert injector.mask(CANARY) == "***"
    with pytest.raises(TypeError):
        pickle.dumps(injector)


async def test_a_prefix_stands_before_the_value_and_tells_credentials_apart() -> None:
    injector = Header("Authorization", Planted(), SALT, prefix="Bot ")
    assert (await injector.inject(request())).headers.all("authorization") == [f"Bot {CANARY}"]
    assert injector.identity() != Header("Authorization", Planted(), SALT).identity()
    assert injector.mask(f"Bot {CANARY}") == "Bot ***"
