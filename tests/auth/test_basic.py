from __future__ import annotations

import base64
import pickle

import pytest

from proxy.auth.basic import Basic
from proxy.core.failure import CredentialError
from proxy.core.ports import Injector
from tests.auth.planted import CANARY, ORIGIN, SALT, Planted, request


def basic(username: str = "Aladdin", password: str = CANARY) -> Basic:
    return Basic(Planted(username, "configuration"), Planted(password), SALT)


async def test_the_pair_of_rfc_7617() -> None:
    injector: Injector = basic("Aladdin", "open sesame")
    after = await injector.inject(request(("AUTHORIZATION", "a"), ("X", "y")), ORIGIN)
    assert list(after.headers) == [("x", "y"), ("authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")]
    assert injector.replaced == {"authorization"}


async def test_text_beyond_ascii_is_utf_8() -> None:
    after = await basic("test", "123£").inject(request())
    assert after.headers.get("authorization") == "Basic dGVzdDoxMjPCow=="


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("", "abcd"),
        ("a:b", "abcd"),
        ("user", "a\nb"),
        ("us\rer", "abcd"),
        ("user", "a\0b"),
        ("user", "\ud800abc"),
    ],
)
async def test_an_unfit_pair_is_a_credential_error(username: str, password: str) -> None:
    with pytest.raises(CredentialError) as told:
        await basic(username, password).inject(request())
    assert password not in str(told.value)


def test_the_pair_and_the_password_are_masked_and_the_user_is_not() -> None:
    pair = base64.b64encode(f"Aladdin:{CANARY}".encode()).decode()
    assert basic().mask(f"Aladdin {CANARY} {pair}") == "Aladdin *** ***"
    assert basic().mask(f"Authorization: Basic {pair.rstrip('=')}") == "Authorization: Basic ***"


def test_a_user_without_password_is_the_secret() -> None:
    key = "sk_live_abcdef"
    pair = base64.b64encode(f"{key}:".encode()).decode()
    assert basic(key, "").mask(f"{key} {pair}") == "*** ***"


def test_user_and_password_make_the_identity() -> None:
    assert basic("a", "bcde").identity() != basic("b", "bcde").identity()
    assert basic("a", "bcde").identity() != basic("a", "bcdf").identity()
    assert basic("a", "bcde").identity() == basic("a", "bcde").identity()


async def test_it_hides_its_secret() -> None:
    injector = basic()
    after = await injector.inject(request())
    assert injector.describe() == "basic user from configuration, password from env PLANTED"
    for text in (injector.describe(), repr(injector), str(injector), injector.identity(), repr(after)):
        assert CANARY not in text
    with pytest.raises(TypeError):
        pickle.dumps(injector)
