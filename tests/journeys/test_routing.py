"""Which upstream gets a request: by Host, by prefix in whole segments, the longest first?"""

from __future__ import annotations

import pytest

from tests.origin import Origin
from tests.running import free_port


@pytest.fixture(scope="module")
def places():
    """Five origins for a module, so that one proxy serves all its tests."""
    names = ("up", "deep", "host", "hostdeep", "rest")
    opened = {name: Origin() for name in names}
    yield opened
    for origin in opened.values():
        origin.__exit__(None, None, None)


@pytest.fixture
def proxy(leeward, places):
    for origin in places.values():
        origin.reset()
    return leeward(
        {
            "defaults": {"cache": {"enabled": False}},
            "upstreams": {
                "up": {"base_url": places["up"].url},
                "deep": {"base_url": places["deep"].url + "/base/", "prefix": "/up/deep"},
                "host": {"base_url": places["host"].url, "host": "api.example.test"},
                "hostdeep": {
                    "base_url": places["hostdeep"].url,
                    "host": "api.example.test",
                    "prefix": "/deep",
                },
                "rest": {"base_url": places["rest"].url, "prefix": "/other"},
            },
        }
    )


def reached(places) -> list[tuple[str, str]]:
    return [(name, hit.target) for name, origin in places.items() for hit in origin.hits()]


@pytest.mark.parametrize(
    ("host", "target", "place", "forwarded"),
    [
        ("localhost", "/up", "up", "/"),
        ("localhost", "/up/", "up", "/"),
        ("localhost", "/up?x=1", "up", "/?x=1"),
        ("localhost", "/up/x/y?z", "up", "/x/y?z"),
        ("localhost", "/up/deepest", "up", "/deepest"),
        ("localhost", "/up/deep", "deep", "/base/"),
        ("localhost", "/up/deep/x", "deep", "/base/x"),
        ("localhost", "/up/deep//x", "deep", "/base//x"),
        ("localhost", "/other/up/x", "rest", "/up/x"),
        ("api.example.test", "/x", "host", "/x"),
        ("API.Example.Test:8080", "/x?y", "host", "/x?y"),
        ("api.example.test", "/deep/x", "hostdeep", "/x"),
        ("api.example.test", "/deeper/x", "host", "/deeper/x"),
        ("other.example.test", "/up/x", "up", "/x"),
        ("evil.test", "/other/x", "rest", "/x"),
    ],
)
def test_the_longest_prefix_of_whole_segments(proxy, places, host, target, place, forwarded):
    assert proxy.ask("GET", target, host=host).status == 200
    assert reached(places) == [(place, forwarded)]
    assert places[place].hit().headers("Host") == [places[place].authority]


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/upx",
        "/upx/y",
        "/UP/x",
        "/Up",
        "/u",
        "/u%70/x",
        "/%75p",
        "/up%2Fx",
        "/up;x/y",
        "/up%3Fx",
        "/xup",
        "/x/up/y",
    ],
)
def test_what_only_looks_like_a_prefix_goes_nowhere(proxy, places, target):
    answer = proxy.ask("GET", target)
    assert (answer.status, answer.code) in [(404, "no_route"), (400, "bad_request")]
    assert reached(places) == []


def test_rules_override(leeward, origin):
    rules = [
        {"match": {"method": "POST", "path": "/v1/search"}, "retry": {"methods": ["POST"], "attempts": 2}},
        {"match": {"path": "/files/**"}, "cache": {"override_ttl": "60s"}},
        {"match": {"path": "/one/*"}, "errors": "annotate"},
    ]
    upstream = {"base_url": origin.url, "retry": {"attempts": 1}, "rules": rules}
    proxy = leeward({"upstreams": {"api": upstream}})
    for path in ("/v1/search", "/v1/other", "/one/a", "/one/a/b"):
        origin.on(path).reply(500, b"raw")
    proxy.post("/api/v1/search")
    proxy.post("/api/v1/other")
    assert (origin.count("/v1/search"), origin.count("/v1/other")) == (2, 1)
    for _ in range(2):
        proxy.get("/api/files/a/b")
        proxy.get("/api/elsewhere/a/b")
    assert (origin.count("/files/a/b"), origin.count("/elsewhere/a/b")) == (1, 2)
    assert proxy.get("/api/one/a").body == b"raw"
    assert proxy.get("/api/one/a/b").code == "server_error"


@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_a_circle_ends_in_an_error_and_not_in_silence(leeward, method):
    """One proxy's upstream is the other, whose upstream is the first."""
    here, there = free_port(), free_port()
    one = {
        "server": {"listen": f"127.0.0.1:{here}"},
        "upstreams": {"u": {"base_url": f"http://127.0.0.1:{there}", "prefix": "/"}},
    }
    other = {
        "server": {"listen": f"127.0.0.1:{there}"},
        "upstreams": {"u": {"base_url": f"http://127.0.0.1:{here}", "prefix": "/"}},
    }
    first = leeward(one, fresh=True)
    leeward(other, fresh=True)
    with first.send(method + b" /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n") as wire:
        assert wire.read().status == 400
