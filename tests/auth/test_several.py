from __future__ import annotations

import pytest

from proxy.auth.basic import Basic
from proxy.auth.bearer import Bearer
from proxy.auth.granted import GrantedToken
from proxy.auth.header import Header
from proxy.auth.hmac import Hmac, Recipe
from proxy.auth.keys import Keys
from proxy.auth.query import Query
from proxy.auth.several import Several
from proxy.core.failure import CredentialError
from proxy.core.message import Headers
from proxy.core.ports import Injector
from tests.auth.planted import ORIGIN, SALT, Hands, Planted, answered, request
from tests.auth.samples import grants


async def test_all_are_put_on_and_none_takes_another_off() -> None:
    injector: Injector = Several(
        [
            Bearer(Planted("tok"), SALT),
            Header("X-One", Planted("one"), SALT),
            Query("key", Planted("two"), SALT),
            Header("X-Two", Planted("three"), SALT),
        ],
        SALT,
    )
    callers = request(("Authorization", "callers"), ("X_ONE", "callers"), ("x-two", "callers"), ("A", "b"))
    sent = await injector.inject(callers, ORIGIN)
    assert sorted(sent.headers) == [
        ("a", "b"),
        ("authorization", "Bearer tok"),
        ("x-one", "one"),
        ("x-two", "three"),
    ]
    assert sent.target == "/a?b=c&key=two"
    assert injector.replaced == {"authorization", "x-one", "x-two"}


async def test_a_signature_that_comes_last_covers_the_others() -> None:
    recipe = Recipe(sign="{query}", headers={"X-Sign": "{signature}"})
    members: list[Injector] = [
        Query("key", Planted("two"), SALT),
        Hmac(Planted("k" * 8), None, recipe, SALT, Hands()),
    ]
    sent = await Several(members, SALT).inject(request(), ORIGIN)
    alone = await Hmac(Planted("k" * 8), None, recipe, SALT, Hands()).inject(
        request(target="/a?b=c&key=two"), ORIGIN
    )
    assert sent.headers.get("x-sign") == alone.headers.get("x-sign")


async def test_after_a_refusal_one_is_replaced_and_the_rest_stay() -> None:
    injector = Several(
        [
            Header("X-App", Planted("app"), SALT),
            Bearer(Keys([Planted("tok-A"), Planted("tok-B")], Hands()), SALT),
        ],
        SALT,
    )
    sent = await injector.inject(request(), ORIGIN)
    again = await injector.another(sent, answered(429), request(("Authorization", "callers")), ORIGIN)
    assert again is not None
    assert sorted(again.headers) == [("authorization", "Bearer tok-B"), ("x-app", "app")]
    assert await injector.another(sent, answered(404), request(), ORIGIN) is None


async def test_a_member_that_cannot_be_had_is_no_other() -> None:
    gone = Planted("app")
    injector = Several(
        [Bearer(Keys([Planted("tok-A"), Planted("tok-B")], Hands()), SALT), Header("X-App", gone, SALT)], SALT
    )
    sent = await injector.inject(request(), ORIGIN)
    gone.value = None
    assert await injector.another(sent, answered(429), request(), ORIGIN) is None
    with pytest.raises(CredentialError):
        await injector.inject(request(), ORIGIN)


async def test_it_ends_with_the_first_of_them() -> None:
    injector = Several(
        [
            Header("X-App", Planted(), SALT),
            *(GrantedToken(one, SALT, Hands(), lambda: 0.0) for one in grants()),
        ],
        SALT,
    )
    assert injector.expires() is None
    await injector.inject(request(), ORIGIN)
    assert injector.expires() == 3600.0
    await injector.close()


def test_together_they_are_one_identity_and_hide_all_secrets() -> None:
    one, two = Header("X-A", Planted("value-1"), SALT), Basic(Planted("user-1"), Planted("pass-1"), SALT)
    injector = Several([one, two], SALT)
    assert injector.describe() == f"{one.describe()}; {two.describe()}"
    assert injector.identity() not in (one.identity(), two.identity())
    assert injector.identity() != Several([two, one], SALT).identity()
    assert injector.mask("value-1 pass-1") == "*** ***"
    assert "value-1" not in repr(injector)


def test_of_those_in_the_url_none_stands_in_the_links_of_an_answer() -> None:
    made = Several(
        [Header("X-A", Planted(), SALT), Query("k", Planted(), SALT), Query("l", Planted(), SALT)], SALT
    )
    fields = Headers.of(("Location", "/a?k=one&l=two&m=three"))
    assert list(made.cleared(fields)) == [("location", "/a?k=***&l=***&m=three")]
