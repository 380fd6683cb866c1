"""Does only that credential call itself steady that does the same to each request?"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from proxy.auth.basic import Basic
from proxy.auth.bearer import Bearer
from proxy.auth.header import Header
from proxy.auth.keys import Keys
from proxy.auth.none import NoCredential
from proxy.core.failure import CredentialError
from proxy.core.ports import Echoed, Injector, Steady
from tests.auth.planted import ORIGIN, SALT, Hands, Planted, request
from tests.auth.samples import injectors

MADE: dict[str, Callable[[Planted], Injector]] = {
    "bearer": lambda secret: Bearer(secret, SALT),
    "bearer of one key": lambda secret: Bearer(Keys([secret], Hands()), SALT),
    "header": lambda secret: Header("X-Api-Key", secret, SALT),
    "header with a prefix": lambda secret: Header("Authorization", secret, SALT, prefix="Token "),
    "basic, name": lambda secret: Basic(secret, Planted(), SALT),
    "basic, password": lambda secret: Basic(Planted("me"), secret, SALT),
}


@pytest.mark.parametrize("name", MADE)
async def test_a_changed_secret_is_another_identity_at_once(name: str) -> None:
    secret = Planted("first-secret")
    injector = MADE[name](secret)
    assert isinstance(injector, Steady)
    assert injector.steady()
    seen: dict[str, tuple[tuple[bytes, bytes], ...]] = {}
    for value in ("first-secret", "second-secret", "first-secret", "third-secret", "second-secret"):
        secret.value = value
        identity = injector.identity()
        injected = (await injector.inject(request(), ORIGIN)).headers.fields
        assert identity == injector.identity()
        assert seen.setdefault(identity, injected) == injected
    assert len(seen) == len(set(seen.values())) == 3


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("value", [None, "a\r\nb"])
def test_a_secret_that_is_gone_or_unfit_has_no_identity(name: str, value: str | None) -> None:
    secret = Planted("first-secret")
    injector = MADE[name](secret)
    first = injector.identity()
    secret.value = value
    for _ in range(2):
        with pytest.raises(CredentialError):
            injector.identity()
    secret.value = "first-secret"
    assert injector.identity() == first


@pytest.mark.parametrize("kind", [Bearer, lambda keys, salt: Header("X-Api-Key", keys, salt)])
def test_keys_that_take_turns_are_not_steady(kind: Callable[[Keys, bytes], Steady]) -> None:
    assert not kind(Keys([Planted("one-secret"), Planted("two-secret")], Hands()), SALT).steady()


async def test_whoever_calls_itself_steady_is() -> None:
    """Of all credentials that there are."""
    steady = 0
    for injector in injectors():
        if not isinstance(injector, Steady) or not injector.steady():
            continue
        steady += 1
        assert not isinstance(injector, Echoed)
        first = await injector.inject(request(), ORIGIN)
        for target in ("/a?b=c", "/other"):
            asked = request(("X", "y"), target=target)
            after = await injector.inject(asked, ORIGIN)
            assert after.target == target
            assert after.headers.fields == (*asked.headers.fields, *first.headers.fields)
    assert steady == 5
    assert NoCredential().steady()
