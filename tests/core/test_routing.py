from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.failure import BadRequestError, NoRouteError
from proxy.core.message import Headers, Request, Whole
from proxy.core.routing import Match, Origin, Route, Table, check_target, glob


@dataclass(frozen=True)
class NoCredential:
    replaced: frozenset[str] = frozenset()

    def describe(self):
        return "none"

    def identity(self):
        return "none"

    async def inject(self, request, origin):
        return request

    def mask(self, text):
        return text


def route(name, prefix="", host=None, rules=()):
    origin = Origin(scheme="http", host="127.0.0.1", port=80)
    return Route(name=name, origins=(origin,), injector=NoCredential(), prefix=prefix, host=host, rules=rules)


def get(target, host="localhost:8080"):
    return Request(method="GET", target=target, headers=Headers(), body=Whole(), host=host)


TABLE = Table(
    [
        route("up", "/up"),
        route("deeper", "/up/er"),
        route("hosted", "", "api.local"),
        route("hosted-v2", "/v2", "api.local"),
        route("six", "", "[::1]"),
    ]
)


@pytest.mark.parametrize(
    ("target", "host", "name", "stripped"),
    [
        ("/up", "x", "up", "/"),
        ("/up/", "x", "up", "/"),
        ("/up?q=1", "x", "up", "/?q=1"),
        ("/up/a%2Fb+c?d=%zz&e", "x", "up", "/a%2Fb+c?d=%zz&e"),
        ("/up/er", "x", "deeper", "/"),
        ("/up/er/x", "x", "deeper", "/x"),
        ("/up/err", "x", "up", "/err"),
        ("/up//x", "x", "up", "//x"),
        ("/up/x?y=/v2", "api.local:8080", "hosted", "/up/x?y=/v2"),
        ("/", "API.LOCAL", "hosted", "/"),
        ("/v2/x", "api.local", "hosted-v2", "/x"),
        ("/v22", "api.local", "hosted", "/v22"),
        ("/x", "[::1]:8080", "six", "/x"),
        ("/up/caf\xc3\xa9", "x", "up", "/caf\xc3\xa9"),
    ],
)
def test_whole_segments_the_longest_first_the_host_before_any(target, host, name, stripped):
    found, target = TABLE.find(get(target, host))
    assert (found.name, target) == (name, stripped)


@pytest.mark.parametrize("target", ["/", "/upx", "/UP", "/u", "/v2", "/%75p"])
def test_no_route(target):
    with pytest.raises(NoRouteError):
        TABLE.find(get(target, "elsewhere"))


@pytest.mark.parametrize(
    "target",
    [
        "",
        "*",
        "@evil",
        "http://evil/",
        "//evil",
        "//evil/up",
        "/up/..",
        "/up/../x",
        "/up/./x",
        "/..",
        "/up/%2e%2e/x",
        "/up/%2E./x",
        "/up/.%2e/x",
        "/up/..%2fx",
        "/up/..%5cx",
        "/up\\x",
        "/up/..\\x",
        "/up/..;/x",
        "/up/..;a=b/x",
        "/up/%2e%2e;/x",
        "/up%2f..%2fx",
        "/up/#x",
        "/up?a#b",
        "/up/ x",
        "/up/\x00",
        "/up/\x7f",
        "/up?a\r",
    ],
)
def test_a_target_that_could_mean_two_things_is_refused(target):
    with pytest.raises(BadRequestError):
        TABLE.find(get(target))


@pytest.mark.parametrize(
    "target",
    [
        "/up/a..b",
        "/up/...",
        "/up/..a",
        "/up/%2e%2ea",
        "/up/%252e%252e/x",
        "/up/a%2fb",
        "/up?x=../..",
        "/up?\\",
    ],
)
def test_what_only_looks_like_it_passes_unchanged(target):
    found, stripped = TABLE.find(get(target))
    assert "/up" + (stripped if stripped[1:2] != "?" else stripped[1:]) == target
    assert found.name == "up"


@given(st.text(st.characters(max_codepoint=255), max_size=40))
def test_a_target_passes_unchanged_or_is_refused(tail):
    target = "/up/" + tail
    try:
        _, stripped = Table([route("up", "/up")]).find(get(target))
    except BadRequestError:
        return
    assert "/up" + stripped == target
    check_target(target)


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("/v1/*", "/v1/a", True),
        ("/v1/*", "/v1/a/b", False),
        ("/v1/**", "/v1/a/b", True),
        ("/v1/*/b", "/v1/a/b", True),
        ("/v1/embeddings", "/v1/embeddings", True),
        ("/v1/a.b", "/v1/axb", False),
        ("/v1/a?", "/v1/ab", False),
        ("**", "/anything/at/all", True),
    ],
)
def test_globs(pattern, path, matches):
    assert (glob(pattern).fullmatch(path) is not None) is matches


def test_the_first_rule_that_matches_changes_the_route():
    first, second = route("one"), route("two")
    rules = ((Match(method="POST", path="/v1/*"), first), (Match(path="/v1/**"), second))
    table = Table([route("up", "/up", rules=rules)])
    post = Request(method="POST", target="/up/v1/x?y", headers=Headers(), body=Whole(), host="h")
    assert table.find(post)[0] is first
    assert table.find(get("/up/v1/x/y"))[0] is second
    assert table.find(get("/up/v2"))[0].name == "up"


@pytest.mark.parametrize(
    ("origin", "authority", "url"),
    [
        (Origin(scheme="http", host="a", port=80), "a", "http://a"),
        (Origin(scheme="https", host="a", port=443, path="/v1"), "a", "https://a/v1"),
        (Origin(scheme="https", host="a", port=80), "a:80", "https://a:80"),
        (Origin(scheme="http", host="::1", port=81), "[::1]:81", "http://[::1]:81"),
    ],
)
def test_an_origin_s_authority(origin, authority, url):
    assert (origin.authority, origin.url) == (authority, url)


def test_no_route_names_what_there_is():
    with pytest.raises(NoRouteError, match=r"Paths begin with /up, /up/er\."):
        TABLE.find(get("/elsewhere", "x"))
    many = Table([route(f"r{n:02}", f"/r{n:02}") for n in range(12)])
    with pytest.raises(NoRouteError, match=r"/r09 and others\."):
        many.find(get("/", "x"))
    with pytest.raises(NoRouteError, match="by Host"):
        Table([route("h", "", "only.host")]).find(get("/", "x"))
