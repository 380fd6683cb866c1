from __future__ import annotations

import pickle

import pytest

from proxy.auth.bearer import Bearer
from proxy.core.failure import CredentialError
from proxy.core.ports import Injector
from tests.auth.planted import CANARY, ORIGIN, SALT, Planted, request


async def test_it_is_the_one_authorization() -> None:
    injector: Injector = Bearer(Planted(), SALT)
    twins = request(("authorization", "a"), ("AUTHORIZATION", "b"), ("Authorization", "c"), ("X", "y"))
    after = await injector.inject(twins, ORIGIN)
    assert after.headers.fields == ((b"X", b"y"), (b"Authorization", b"Bearer " + CANARY.encode()))
    assert injector.replaced == {"authorization"}


async def test_a_changed_secret_is_sent_and_is_another_identity() -> None:
    secret = Planted("first-token")
    injector = Bearer(secret, SALT)
    first = injector.identity()
    secret.value = "second-token"
    assert injector.identity() != first
    after = await injector.inject(request())
    assert after.headers.get("authorization") == "Bearer second-token"
    assert injector.mask("first-token second-token") == "*** ***"
    secret.value = "first-token"
    assert injector.identity() == first


@pytest.mark.parametrize("value", ["", "a\r\nb", "a\0b", "Bearer abcd", "鍵" * 4, " abcd"])
async def test_an_unfit_value_is_a_credential_error(value: str) -> None:
    with pytest.raises(CredentialError) as told:
        await Bearer(Planted(value), SALT).inject(request())
    assert not value or value not in str(told.value)


async def test_a_secret_that_cannot_be_had_is_a_credential_error_and_still_masked() -> None:
    secret = Planted()
    injector = Bearer(secret, SALT)
    injector.identity()
    secret.value = None
    with pytest.raises(CredentialError):
        await injector.inject(request())
    with pytest.raises(CredentialError):
        injector.identity()
    assert injector.mask(f"<{CANARY}>") == "<***>"


def test_an_unfit_value_is_masked_all_the_same() -> None:
    assert Bearer(Planted("Bearer abcdef"), SALT).mask("got Bearer abcdef") == "got ***"


async def test_it_hides_its_secret() -> None:
    injector = Bearer(Planted(), SALT)
    after = await injector.inject(request())
    assert injector.describe() == "bearer token from env PLANTED"
    for text in (injector.describe(), repr(injector), str(injector), injector.identity(), repr(after)):
        assert CANARY not in text
    assert injector.identity().startswith("bearer:")
    with pytest.raises(TypeError):
        pickle.dumps(injector)
    assert not hasattr(injector, "__dict__")
