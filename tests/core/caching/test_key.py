import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.caching.key import Bypass, Key, digest, identify, keyed_target
from proxy.core.caching.policy import CachePolicy, KeyPolicy
from proxy.core.message import Request, Whole
from proxy.core.reason import Reason
from proxy.core.routing import Origin, Route
from tests.core.caching.samples import PRIVATE, SECRET, SHARED, Named, Pair, request, route


def key(asked: Request, on: Route | None = None, *, content: bytes | None = None) -> Key:
    found = identify(asked, on or route(), secret=SECRET, content=content)
    assert isinstance(found, Key), found
    return found


def test_the_same_request_has_the_same_key() -> None:
    assert key(request()) == key(request())
    assert key(request()) == key(request(("Accept", "x"), ("User-Agent", "y"), ("X-Request-Id", "z")))
    assert key(request()) == key(request(method="HEAD"))


IDENTITIES = [
    *("Authorization", "Cookie", "X-Api-Key", "x_api_key", "Api-Key", "X-Auth-Token", "Private-Token"),
    *("X-Session-Id", "X-Forwarded-Host", "X-Forwarded-For", "x-forwarded-anything", "Forwarded"),
    *("X-Original-URL", "X-Rewrite-URL", "X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"),
    *("Origin", "X-Real-IP", "X-Host", "True-Client-IP", "From", "X-Amz-Security-Token"),
    "X-Access-Key-Id",
    # For whom a call is made, and in which form it is answered: what APIs do not name in Vary.
    *("Stripe-Account", "OpenAI-Organization", "OpenAI-Project", "X-Goog-User-Project"),
    *("Ocp-Apim-Subscription-Key", "DD-APPLICATION-KEY", "X-Algolia-Application-Id", "X-Key", "X-App-Id"),
    *("X-Scope-OrgID", "Xero-Tenant-Id", "X-Tenant", "X-User-Id", "X-UserID", "X-Vault-Namespace", "Sudo"),
    *("Impersonate-User", "X-MS-CLIENT-PRINCIPAL", "X-On-Behalf-Of", "As-User", "X-Workspace-Id", "x_team"),
    *("Dropbox-API-Select-Admin", "CF-Access-Client-Id", "X-Customer-Id", "X-Remote-User", "Accept-Profile"),
    *("Stripe-Version", "Notion-Version", "X-GitHub-Api-Version", "anthropic-beta", "Prefer"),
    *("X-Goog-FieldMask", "Dropbox-API-Arg"),
]
HARMLESS = [
    *("Accept", "User-Agent", "X-User-Agent", "X-Amz-User-Agent", "X-Request-Id", "X-Ms-Client-Request-Id"),
    *("Idempotency-Key", "X-Stainless-Package-Version", "Sec-CH-UA-Full-Version", "Traceparent", "Priority"),
]


@pytest.mark.parametrize("name", IDENTITIES)
def test_what_says_who_asks_is_part_of_the_key(name: str) -> None:
    one, other = key(request((name, "one"))), key(request((name, "other")))
    assert len({one, other, key(request()), key(request((name, ""))), key(request((name, "one")))}) == 4
    assert one.place == other.place


@pytest.mark.parametrize("name", HARMLESS)
def test_what_says_nothing_of_it_is_not(name: str) -> None:
    assert key(request((name, "one"))) == key(request((name, "other"))) == key(request())


@pytest.mark.parametrize(
    "changed",
    [
        request(target="/A"),
        request(target="/a?"),
        request(target="/a%3f"),
        request(target="/a;"),
        request(target="/a?x=1&x=1"),
        request(target="/a\xff"),
    ],
)
def test_targets_are_byte_exact(changed: Request) -> None:
    assert key(changed) != key(request())
    assert key(changed).place != key(request()).place


@pytest.mark.parametrize(
    "changed",
    [
        route(name="other"),
        route(identity="other"),
        route(path="/v2"),
        dataclasses.replace(route(), origins=(Origin(scheme="http", host="api.example", port=80),)),
        route(SHARED),
        route(certificate=b"digest"),
        route(set_headers=(("X-Shop", "one"),)),
        route(default_headers=(("X-Shop", "one"),)),
    ],
)
def test_another_route_credential_or_upstream_has_another_key(changed: Route) -> None:
    assert key(request(), changed) != key(request())


def test_what_is_configured_tells_programs_on_one_store_apart() -> None:
    shops = [(("X-Shop", "one"),), (("X-Shop", "two"),), (("X-Sho", "pone"),), (("X-Shop", "one"), ("X", ""))]
    routes = [route(set_headers=shop) for shop in shops] + [route(default_headers=shop) for shop in shops]
    routes += [route(certificate=digest_) for digest_ in (b"one", b"two")]
    found = [key(request(), on) for on in routes]
    assert len(set(found)) == len(found)
    assert len({one.place for one in found}) == 1


def test_a_part_cannot_be_shifted_into_the_next() -> None:
    assert digest([b"ab", b"c"], secret=SECRET) != digest([b"a", b"bc"], secret=SECRET)
    assert key(request(("X-Api-Key", "a"), ("X-Api-Key", "b"))) != key(request(("X-Api-Key", "a, b")))
    lines = (("Authorization", value) for value in ("a", "cookie", "b"))
    assert key(request(*lines)) != key(request(("Authorization", "a"), ("Cookie", "b")))


def test_a_shared_cache_decides_about_authorization_by_the_answer() -> None:
    shared = route(SHARED)
    assert key(request(("Authorization", "x")), shared) == key(request(), shared)
    assert key(request(("Cookie", "x")), shared) != key(request(), shared)


def test_chosen_fields_and_ignored_parameters() -> None:
    on = route(CachePolicy(key=KeyPolicy(headers=("accept-language",), ignore_query=("utm", "x"))))
    assert key(request(("Accept-Language", "de")), on) != key(request(), on)
    assert key(request(target="/a?utm=1&y=2&x=3"), on) == key(request(target="/a?y=2"), on)
    assert key(request(target="/a?utm=1"), on).place == key(request(target="/a"), on).place


@pytest.mark.parametrize(
    ("target", "kept"),
    [
        ("/a?b=1&c=2", "/a?c=2"),
        ("/a?b", "/a"),
        ("/a?c=2&b=1&b=2", "/a?c=2"),
        ("/a?bb=1", "/a?bb=1"),
        ("/a?%62=1", "/a?%62=1"),
        ("/a?c=1&", "/a?c=1&"),
        ("/a", "/a"),
    ],
)
def test_keyed_target(target: str, kept: str) -> None:
    assert keyed_target(target, ("b",)) == kept


class Unknown:
    length = None


def test_a_part_has_the_key_of_its_whole() -> None:
    assert key(request(("Range", "bytes=0-1"))) == key(request())
    assert key(request(("Range", "bytes=0-1"), ("If-Range", '"a"'))) == key(request())


@pytest.mark.parametrize(
    ("asked", "policy", "reason"),
    [
        (request(), CachePolicy(enabled=False), Reason.CACHE_OFF),
        (request(method="POST"), PRIVATE, Reason.METHOD),
        (request(method="get"), PRIVATE, Reason.METHOD),
        (request(body=Whole(b"x")), PRIVATE, Reason.REQUEST_BODY),
        (request(body=Unknown()), PRIVATE, Reason.REQUEST_BODY),  # type: ignore[arg-type] # only its length is asked for
        (request(method="POST"), CachePolicy(methods=frozenset({"POST"})), Reason.REQUEST_BODY),
        (request(("Range", "bytes=0-1,3-4")), PRIVATE, Reason.RANGE),
        (request(("Range", "lines=0-1")), PRIVATE, Reason.RANGE),
        (request(("Range", "bytes=0-1"), method="HEAD"), PRIVATE, Reason.RANGE),
        (request(("Upgrade", "websocket")), PRIVATE, Reason.UPGRADE),
        (request(("If-Match", '"x"')), PRIVATE, Reason.PRECONDITION),
        (request(("If-Unmodified-Since", "x")), PRIVATE, Reason.PRECONDITION),
        (request(("If-Range", "x")), PRIVATE, Reason.PRECONDITION),
    ],
)
def test_bypass(asked: Request, policy: CachePolicy, reason: Reason) -> None:
    assert identify(asked, route(policy), secret=SECRET) == Bypass(reason=reason)


POST = CachePolicy(methods=frozenset({"GET", "POST"}), key=KeyPolicy(ignore_body_fields=("user",)))


def test_content_is_part_of_the_key_of_other_methods() -> None:
    on = route(POST)
    one = key(request(method="POST"), on, content=b"one")
    assert len({one, key(request(method="POST"), on, content=b""), key(request(), on)}) == 3
    same = [b'{"a":1,"user":2}', b'{"a": 1}']
    assert len({key(request(method="POST"), on, content=content) for content in same}) == 1


def test_what_the_content_means_is_part_of_the_key_too() -> None:
    kinds = [("Content-Type", "a/b"), ("Content-Type", "a/c"), ("Content-Encoding", "gzip"), ("Accept", "x")]
    posted = {key(request(kind, method="POST"), route(POST), content=b"x") for kind in kinds}
    assert len(posted) == 4
    assert len({key(request(kind), route(POST)) for kind in kinds}) == 1


def test_a_mutation_has_no_key() -> None:
    asked = request(method="POST")
    mutation = identify(asked, route(POST), secret=SECRET, content=b'{"query": "mutation { x }"}')
    assert mutation == Bypass(reason=Reason.MUTATION)
    assert identify(asked, route(), secret=SECRET, content=b"") == Bypass(reason=Reason.METHOD)


_TEXT = st.text(st.characters(max_codepoint=255), max_size=8)
_WHO = st.tuples(_TEXT, st.lists(st.tuples(st.sampled_from(IDENTITIES), _TEXT), max_size=3))


@given(_WHO, _WHO)
def test_two_identities_never_share_a_key(one: tuple[str, list[Pair]], other: tuple[str, list[Pair]]) -> None:
    keys = [key(request(*fields), route(identity=identity)) for identity, fields in (one, other)]
    told = [
        (identity, sorted((name.lower(), [v for n, v in fields if n == name]) for name, _ in set(fields)))
        for identity, fields in (one, other)
    ]
    assert (keys[0] == keys[1]) is (told[0] == told[1])


def test_no_secret_is_in_a_key() -> None:
    found = key(request(("Authorization", "Bearer hunter2"), target="/a"), route(identity="id"))
    again = identify(request(("Authorization", "Bearer hunter2")), route(identity="id"), secret=b"f" * 16)
    assert isinstance(again, Key)
    assert "hunter2" not in repr(found) + found.target
    assert b"hunter2" not in found.primary + found.place
    # Keyed: a guessed value cannot be tried without this installation's secret.
    assert found.primary != again.primary


def test_the_target_is_not_in_its_rendering() -> None:
    assert "secret" not in repr(key(request(target="/a?token=secret")))


def test_the_stand_in_satisfies_the_port() -> None:
    assert Named("x").identity() == "x"


def test_a_long_name_is_read_but_not_remembered() -> None:
    name = "x" * 100 + "-token"
    assert key(request((name, "one"))) != key(request((name, "other")))
