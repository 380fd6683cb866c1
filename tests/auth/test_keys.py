from __future__ import annotations

from pathlib import Path

import pytest

from proxy.auth.basic import Basic
from proxy.auth.bearer import Bearer
from proxy.auth.header import Header
from proxy.auth.keys import Former, Keys, former
from proxy.auth.none import NoCredential
from proxy.auth.query import Query
from proxy.auth.several import Several
from proxy.config.secrets import EnvSecret, FileSecret, LiteralSecret
from proxy.core.failure import CredentialError
from proxy.core.ports import Injector, Renewable, Secret, Settled
from tests.auth.planted import ORIGIN, SALT, Hands, Planted, answered, request

A, B, C = (Planted(f"key-{letter}", f"env {letter}") for letter in "ABC")


def picked(keys: Keys, count: int) -> str:
    return "".join(keys.pick().reveal()[-1] for _ in range(count))


def test_keys_take_turns() -> None:
    keys = Keys([A, B, C], Hands())
    assert picked(keys, 7) == "ABCABCA"
    assert keys.describe() == "env A, env B, env C in turn"
    assert Keys([A]).describe() == "env A"
    assert "key-" not in repr(keys)


def test_a_limited_key_rests_for_as_long_as_the_upstream_says() -> None:
    clock = Hands()
    keys = Keys([A, B, C], clock)
    assert keys.pick() is A
    assert keys.another("key-A", answered(429, ("Retry-After", "10"))) is B
    assert picked(keys, 4) == "CBCB"
    clock.time = 9.9
    assert "A" not in picked(keys, 4)
    clock.time = 10
    assert sorted(picked(keys, 3)) == ["A", "B", "C"]


@pytest.mark.parametrize(
    ("status", "fields", "rest"),
    [
        (429, [], 30),
        (429, [("Retry-After", "86400")], 3600),
        (401, [], 300),
        (402, [], 300),
        (403, [("Retry-After", "60")], 60),
    ],
)
def test_how_long_it_rests(status: int, fields: list[tuple[str, str]], rest: float) -> None:
    clock = Hands()
    keys = Keys([A, B], clock)
    assert keys.another("key-A", answered(status, *fields)) is B
    clock.time = rest - 0.1
    assert picked(keys, 3) == "BBB"
    clock.time = rest
    assert "A" in picked(keys, 2)


@pytest.mark.parametrize("status", [200, 400, 403, 404, 500, 503])
def test_what_is_not_about_the_key_changes_nothing(status: int) -> None:
    keys = Keys([A, B], Hands())
    assert keys.another("key-A", answered(status)) is None
    assert picked(keys, 4) == "ABAB"


def test_where_all_rest_the_first_to_wake_is_used() -> None:
    keys = Keys([A, B, C], Hands())
    assert keys.another("key-A", answered(429, ("Retry-After", "30"))) is B
    assert keys.another("key-B", answered(429, ("Retry-After", "10"))) is C
    assert keys.another("key-C", answered(429, ("Retry-After", "20"))) is None
    assert picked(keys, 3) == "BBB"


def test_a_key_that_cannot_be_had_is_passed_over() -> None:
    gone = Planted(None, "env GONE")
    keys = Keys([A, gone, C], Hands())
    assert picked(keys, 4) == "ACAC"
    assert keys.values(lambda secret: secret.reveal()) == ("key-A", "key-C")
    assert keys.another("key-C", answered(429)) is A
    with pytest.raises(CredentialError):
        Keys([gone, gone]).values(lambda secret: secret.reveal())


def test_the_former_value_is_tried_where_it_was_replaced_just_now() -> None:
    secret = Planted("new", "file token", before="old")
    keys = Keys([secret])
    other = keys.another("new", answered(401))
    assert other is not None
    assert other.reveal() == "old"
    assert other.describe() == "file token, before it changed"
    assert "old" not in repr(other)
    assert keys.another("new", answered(429)) is None
    assert Keys([Planted("new")]).another("new", answered(401)) is None
    assert former(A) is None
    assert isinstance(former(secret), Former)


def test_a_value_that_changed_meanwhile_is_used() -> None:
    assert Keys([A]).another("earlier", answered(401)) is A
    assert Keys([Planted(None)]).another("earlier", answered(401)) is None
    assert Keys([A, B], Hands()).another("neither", answered(401)) is None


SCHEMES = [
    lambda keys: Bearer(keys, SALT),
    lambda keys: Header("X-Key", keys, SALT),
    lambda keys: Header("Authorization", keys, SALT, prefix="Key "),
    lambda keys: Query("key", keys, SALT),
]


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_every_scheme_with_keys_has_another_after_a_refusal(scheme) -> None:
    injector: Injector = scheme(Keys([A, B], Hands()))
    assert isinstance(injector, Renewable)
    first = await injector.inject(request(), ORIGIN)
    again = await injector.another(first, answered(429), request(), ORIGIN)
    assert again is not None
    assert "key-A" in f"{first.target}{list(first.headers)}"
    assert "key-B" in f"{again.target}{list(again.headers)}"
    assert await injector.another(again, answered(404), request(), ORIGIN) is None
    assert injector.identity() == scheme(Keys([A, B], Hands())).identity()
    assert injector.identity() != scheme(Keys([A, C], Hands())).identity()
    assert injector.mask("key-A key-B") == "*** ***"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_of_many_keys_none_is_ever_shown(scheme) -> None:
    values = [f"value-number-{number:02d}" for number in range(30)]
    injector: Injector = scheme(Keys(list(map(Planted, values)), Hands()))
    for _ in range(3):
        assert "number" not in injector.mask(" ".join(values))


def test_of_many_keys_in_two_words_neither_they_nor_their_last_words_are_shown() -> None:
    values = [f"Token number-{number:02d}" for number in range(30)]
    injector = Header("X-Key", Keys(list(map(Planted, values)), Hands()), SALT)
    for shown in (values, [value.removeprefix("Token ") for value in values]):
        assert "number" not in injector.mask(" ".join(shown))


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_every_scheme_tries_the_former_value_once(scheme) -> None:
    injector = scheme(Keys([Planted("new-value", before="old-value")], Hands()))
    first = await injector.inject(request(), ORIGIN)
    again = await injector.another(first, answered(401), request(), ORIGIN)
    assert again is not None
    assert "old-value" in f"{again.target}{list(again.headers)}"
    assert injector.mask("old-value") == "***"


STANDING: list[Secret] = [LiteralSecret("a-literal"), EnvSecret("HOME")]
MOVING: list[Secret] = [FileSecret(Path("/run/token")), Planted()]


@pytest.mark.parametrize("secret", [*STANDING, *MOVING])
def test_an_identity_is_settled_where_no_secret_can_change(secret: Secret) -> None:
    sure = secret in STANDING
    fixed = LiteralSecret("fixed")
    injectors: list[Injector] = [
        Bearer(secret, SALT),
        Bearer(Keys([fixed, secret]), SALT),
        Header("X-Key", secret, SALT),
        Query("key", secret, SALT),
        Basic(secret, fixed, SALT),
        Basic(fixed, secret, SALT),
        Several([Bearer(fixed, SALT), Header("X-Key", secret, SALT)], SALT),
    ]
    assert [isinstance(one, Settled) and one.settled for one in injectors] == [sure] * len(injectors)
    assert NoCredential().settled
