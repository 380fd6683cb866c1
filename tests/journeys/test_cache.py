"""Is an answer used again exactly when it may be, for exactly those for whom it may be?"""

from __future__ import annotations

import contextlib
import re
import time
from email.utils import formatdate

import pytest

from tests.origin import Gate, head
from tests.wire import BadAnswerError, request

FRESH = ("Cache-Control", "max-age=60")
CREDENTIALS = {"CACHE_ONE": "cache-token-one", "CACHE_TWO": "cache-token-two"}


@pytest.fixture
def proxy(leeward, origin):
    def upstream(**more):
        return {"base_url": origin.url, "errors": "annotate", "retry": {"attempts": 1}, **more}

    upstreams = {
        "plain": upstream(),
        "ttl": upstream(cache={"default_ttl": "60s"}),
        "over": upstream(cache={"override_ttl": "60s"}),
        "negative": upstream(cache={"negative_ttl": {404: "60s"}}),
        "off": upstream(cache={"enabled": False}),
        "strict": upstream(cache={"scope": "shared"}),
        "ruled": upstream(rules=[{"match": {"method": "GET"}, "cache": {"key": {"ignore_query": ["utm"]}}}]),
        "one": upstream(auth={"type": "bearer", "token": {"env": "CACHE_ONE"}}),
        "two": upstream(auth={"type": "bearer", "token": {"env": "CACHE_TWO"}}),
    }
    return leeward({"upstreams": upstreams}, env=CREDENTIALS)


@pytest.fixture
def path(request):
    """A path of the test's own, since a module's tests share one cache."""
    return "/" + re.sub(r"\W+", "-", request.node.name)


def test_the_second_get_is_a_hit(proxy, origin, path):
    origin.on(path).reply(200, b"body", [FRESH, ("X-Other", "kept")])
    first, second = proxy.get("/plain" + path), proxy.get("/plain" + path)
    assert (first.status, first.body, second.status, second.body) == (200, b"body", 200, b"body")
    assert first.header("Age") in (None, "0")
    assert (first.header("Cache-Status") or "").startswith("leeward; fwd=uri-miss")
    assert "stored" in (first.header("Cache-Status") or "")
    matched = re.fullmatch(r"leeward; hit; ttl=(\d+).*", second.header("Cache-Status") or "")
    assert matched
    assert 50 <= int(matched[1]) <= 60
    assert second.headers("Age") in (["0"], ["1"], ["2"])
    assert second.header("X-Other") == "kept"
    assert second.headers("Content-Length") == ["4"]
    assert origin.count() == 1


def test_age_counts_what_the_upstream_says(proxy, origin, path):
    origin.on(path).reply(200, b"x", [FRESH, ("Age", "50")])
    proxy.get("/plain" + path)
    hit = proxy.get("/plain" + path)
    assert int(hit.header("Age") or 0) >= 50
    assert origin.count() == 1
    origin.on(path + "2").reply(200, b"x", [FRESH, ("Age", "70")])
    for _ in range(2):
        proxy.get("/plain" + path + "2")
    assert origin.count(path + "2") == 2


def test_expires(proxy, origin, path):
    now = int(time.time())
    origin.on(path).reply(
        200, b"x", [("Date", formatdate(now, usegmt=True)), ("Expires", formatdate(now + 60, usegmt=True))]
    )
    for _ in range(2):
        assert proxy.get("/plain" + path).body == b"x"
    assert origin.count() == 1


def test_a_chunked_answer_is_stored_whole(proxy, origin, path):
    origin.on(path).chunked(b"abc", b"def", headers=[FRESH])
    assert [proxy.get("/plain" + path).body for _ in range(3)] == [b"abcdef"] * 3
    assert origin.count() == 1


NOT_STORED = {
    "silence": [],
    "no-store": [("Cache-Control", "no-store, max-age=60")],
    "no-store-in-another-line": [FRESH, ("Cache-Control", "no-store")],
    "no-cache": [("Cache-Control", "no-cache, max-age=60")],
    "max-age-0": [("Cache-Control", "max-age=0")],
    "s-maxage-0": [("Cache-Control", "max-age=0, s-maxage=0")],
    "broken-max-age": [("Cache-Control", "max-age=many")],
    "negative-max-age": [("Cache-Control", "max-age=-5")],
    "vary-star": [FRESH, ("Vary", "*")],
    "vary-star-in-a-list": [FRESH, ("Vary", "Accept, *")],
    "set-cookie": [FRESH, ("Set-Cookie", "a=1")],
    "old": [FRESH, ("Age", "61")],
    "bad-expires": [("Expires", "0")],
    "past-expires": [("Expires", "Thu, 01 Dec 1994 16:00:00 GMT")],
}


@pytest.mark.parametrize("name", NOT_STORED)
def test_not_used_again(proxy, origin, path, name):
    origin.on(path).reply(200, b"x", NOT_STORED[name])
    for _ in range(2):
        answer = proxy.get("/plain" + path)
        assert answer.status == 200
        assert "hit" not in (answer.header("Cache-Status") or "").replace(" ", "").split(";")
    assert origin.count() == 2


@pytest.mark.parametrize(
    ("upstream", "headers", "hits"),
    [
        ("ttl", [], 1),
        ("ttl", [("Cache-Control", "no-store")], 2),
        ("ttl", [("Cache-Control", "max-age=0")], 2),
        ("ttl", [("Set-Cookie", "a=1")], 2),
        ("over", [], 1),
        ("over", [("Cache-Control", "max-age=0")], 1),
        ("over", [("Cache-Control", "no-store")], 2),
        ("off", [FRESH], 2),
    ],
)
def test_configured_times(proxy, origin, path, upstream, headers, hits):
    origin.on(path).reply(200, b"x", headers)
    for _ in range(2):
        assert proxy.get(f"/{upstream}{path}").body == b"x"
    assert origin.count() == hits


@pytest.mark.parametrize("status", [201, 302, 400, 403, 404, 410, 431, 500, 501])
def test_the_default_time_is_for_200_alone(proxy, origin, path, status):
    origin.on(path).reply(status, b"x")
    for _ in range(2):
        assert proxy.get("/ttl" + path).status == status
    assert origin.count() == 2


def test_negative_answers_only_where_asked_for(proxy, origin, path):
    origin.on(path).reply(404, b"gone")
    for _ in range(2):
        assert proxy.get("/negative" + path).status == 404
    assert origin.count() == 1


@pytest.mark.parametrize(
    ("validator", "condition", "value"),
    [
        ("ETag", "If-None-Match", '"v1"'),
        ("ETag", "If-None-Match", 'W/"v1"'),
        ("Last-Modified", "If-Modified-Since", "Thu, 01 Dec 1994 16:00:00 GMT"),
    ],
)
def test_revalidation(proxy, origin, path, validator, condition, value):
    origin.on(path).reply(200, b"body", [("Cache-Control", "max-age=0"), (validator, value)]).reply(
        304, headers=[("Cache-Control", "max-age=60"), (validator, value), ("X-New", "yes")]
    )
    proxy.get("/plain" + path)
    second = proxy.get("/plain" + path)
    assert (second.status, second.body, second.header("X-New")) == (200, b"body", "yes")
    assert origin.hits(path)[1].headers(condition) == [value]
    third = proxy.get("/plain" + path)
    assert (third.status, third.body) == (200, b"body")
    assert origin.count() == 2


def test_revalidation_may_bring_a_new_answer(proxy, origin, path):
    stale = ("Cache-Control", "max-age=0")
    origin.on(path).reply(200, b"old", [stale, ("ETag", '"1"')]).reply(200, b"new", [FRESH, ("ETag", '"2"')])
    assert [proxy.get("/plain" + path).body for _ in range(3)] == [b"old", b"new", b"new"]
    assert origin.count() == 2


def test_a_callers_condition_is_answered_from_the_entry(proxy, origin, path):
    origin.on(path).reply(200, b"body", [FRESH, ("ETag", '"1"')])
    proxy.get("/plain" + path)
    answer = proxy.get("/plain" + path, ("If-None-Match", '"0", "1"'))
    assert (answer.status, answer.body, answer.header("ETag")) == (304, b"", '"1"')
    assert proxy.get("/plain" + path, ("If-None-Match", '"0"')).body == b"body"
    assert origin.count() == 1


def test_vary(proxy, origin, path):
    origin.on(path).raw(
        lambda hit: (
            head(200, [FRESH, ("Vary", "Accept-Language"), ("Content-Length", "2")])
            + (hit.header("Accept-Language") or "--").encode()
        )
    )
    for _ in range(2):
        for language in ("de", "en"):
            assert proxy.get("/plain" + path, ("Accept-Language", language)).body == language.encode()
        assert proxy.get("/plain" + path).body == b"--"
    assert origin.count() == 3


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_an_unsafe_method_invalidates(proxy, origin, path, method):
    origin.on(path).reply(200, b"old", [FRESH]).reply(200, b"done").reply(200, b"new", [FRESH])
    assert proxy.get("/plain" + path).body == b"old"
    changed = proxy.ask(method, "/plain" + path, body=b"{}")
    assert (changed.body, "fwd=method" in (changed.header("Cache-Status") or "")) == (b"done", True)
    assert proxy.get("/plain" + path).body == b"new"


def test_it_does_so_whichever_rule_takes_it(proxy, origin, path):
    target = path + "?utm=1"
    origin.on(target).reply(200, b"old", [FRESH]).reply(200, b"done").reply(200, b"new", [FRESH])
    assert proxy.get("/ruled" + target).body == b"old"
    assert proxy.get("/ruled" + path + "?utm=2").body == b"old"
    assert proxy.ask("PUT", "/ruled" + target, body=b"{}").body == b"done"
    assert proxy.get("/ruled" + target).body == b"new"


def test_a_failed_unsafe_method_does_not(proxy, origin, path):
    origin.on(path).reply(200, b"old", [FRESH]).reply(500).reply(200, b"new", [FRESH])
    proxy.get("/plain" + path)
    assert proxy.post("/plain" + path).status == 500
    assert proxy.get("/plain" + path).body == b"old"


def test_head_is_answered_from_gets_entry(proxy, origin, path):
    origin.on(path).reply(200, b"body", [FRESH])
    proxy.get("/plain" + path)
    answer = proxy.ask("HEAD", "/plain" + path)
    assert (answer.status, answer.body, answer.header("Content-Length")) == (200, b"", "4")
    assert origin.count() == 1


def test_heads_answer_is_no_get(proxy, origin, path):
    origin.on(path).reply(200, b"body", [FRESH])
    assert proxy.ask("HEAD", "/plain" + path).body == b""
    assert proxy.get("/plain" + path).body == b"body"
    assert [h.method for h in origin.hits()] == ["HEAD", "GET"]


def test_heads_answer_serves_heads(proxy, origin, path):
    origin.on(path).reply(200, b"body", [FRESH, ("ETag", '"1"')])
    for _ in range(3):
        answer = proxy.ask("HEAD", "/plain" + path)
        assert (answer.status, answer.body, answer.header("Content-Length")) == (200, b"", "4")
    assert "; hit" in (answer.header("Cache-Status") or "")
    assert proxy.ask("HEAD", "/plain" + path, [("If-None-Match", '"1"')]).status == 304
    assert origin.count() == 1
    proxy.get("/plain" + path)
    proxy.ask("HEAD", "/plain" + path)
    assert proxy.post("/plain" + path).status == 200
    proxy.ask("HEAD", "/plain" + path)
    assert [h.method for h in origin.hits()] == ["HEAD", "GET", "POST", "HEAD"]


def test_a_part_is_no_whole(proxy, origin, path):
    part = [FRESH, ("Content-Range", "bytes 0-1/4")]
    origin.on(path).reply(206, b"bo", part).reply(200, b"body", [FRESH])
    assert proxy.get("/plain" + path, ("Range", "bytes=0-1")).status == 206
    whole = proxy.get("/plain" + path)
    assert (whole.status, whole.body) == (200, b"body")


@pytest.mark.parametrize("wish", ["no-cache", "max-age=0", "no-store"])
def test_a_caller_may_insist(proxy, origin, path, wish):
    origin.on(path).reply(200, b"1", [FRESH]).reply(200, b"2", [FRESH])
    proxy.get("/plain" + path)
    answer = proxy.get("/plain" + path, ("Cache-Control", wish))
    if wish == "no-store":  # RFC 9111 leaves open whether a stored answer may serve it
        assert answer.status == 200
    else:
        assert (answer.body, origin.count()) == (b"2", 2)


def test_only_if_cached(proxy, origin, path):
    wish = ("Cache-Control", "only-if-cached")
    answer = proxy.get("/plain" + path, wish)
    assert (answer.status, answer.code, origin.count()) == (504, "not_cached", 0)
    assert answer.header("Proxy-Status") is not None
    origin.on(path).reply(200, b"x", [FRESH])
    proxy.get("/plain" + path)
    assert (proxy.get("/plain" + path, wish).body, origin.count()) == (b"x", 1)


def test_callers_with_their_own_credentials_never_share(proxy, origin, path):
    origin.on(path).raw(
        lambda hit: (
            b"HTTP/1.1 200 OK\r\nCache-Control: private, max-age=60\r\nContent-Length: 8\r\n\r\n"
            + (hit.header("Authorization") or "Bearer -")[-8:].rjust(8).encode()
        )
    )
    alice, bob = ("Authorization", "Bearer alice--1"), ("Authorization", "Bearer bob----2")
    for _ in range(2):
        assert proxy.get("/plain" + path, alice).body == b" alice--1"[-8:]
        assert proxy.get("/plain" + path, bob).body == b" bob----2"[-8:]
        assert proxy.get("/plain" + path).body == b"Bearer -"
    assert origin.count() == 3


def test_routes_with_different_credentials_never_share(proxy, origin, path):
    origin.on(path).raw(
        lambda hit: (
            b"HTTP/1.1 200 OK\r\nCache-Control: public, max-age=60\r\nContent-Length: 3\r\n\r\n"
            + (hit.header("Authorization") or "---")[-3:].encode()
        )
    )
    for _ in range(2):
        assert proxy.get("/one" + path).body == b"one"
        assert proxy.get("/two" + path).body == b"two"
    assert origin.count() == 2


def test_shared_scope_follows_the_strict_rules(proxy, origin, path):
    origin.on(path).reply(200, b"x", [("Cache-Control", "private, max-age=60")])
    for _ in range(2):
        proxy.get("/strict" + path)
    assert origin.count(path) == 2
    origin.on(path + "2").reply(200, b"x", [FRESH])
    for _ in range(2):
        proxy.get("/strict" + path + "2", ("Authorization", "Bearer a"))
    assert origin.count(path + "2") == 2


def test_a_stampede_is_one_request(proxy, origin, path):
    gates, half = [Gate(), Gate()], b"h" * 50_000
    origin.on(path).chunked(gates[0], half, gates[1], half, headers=[FRESH])
    wires = [proxy.send(request("GET", "/plain" + path)) for _ in range(200)]
    origin.wait_for(path)
    gates[0].open()
    heads = [wire.read_head() for wire in wires]  # everyone has a head while the second half is held
    gates[1].open()
    for wire, answer in zip(wires, heads, strict=True):
        wire.read_body(answer)
        wire.sock.close()
    assert {(a.status, a.complete, a.body == half + half) for a in heads} == {(200, True, True)}
    assert origin.count() == 1
    assert sum("collapsed" in (a.header("Cache-Status") or "") for a in heads) == 199


def test_what_cannot_be_stored_is_not_queued_up(proxy, origin, path):
    first, rest = Gate(), Gate()
    private = [("Cache-Control", "no-store")]
    origin.on(path).reply(200, b"x", private, gate=first).reply(200, b"x", private, gate=rest)
    wires = [proxy.send(request("GET", "/plain" + path)) for _ in range(20)]
    origin.wait_for(path)
    first.open()
    origin.wait_for(path, 20)  # all at the origin at once while none of the rest is answered
    rest.open()
    assert [wire.read().status for wire in wires] == [200] * 20
    for wire in wires:
        wire.sock.close()


def test_a_leader_who_leaves_does_not_take_the_followers_along(proxy, origin, path):
    gate = Gate()
    origin.on(path).chunked(b"first", gate, b"second", headers=[FRESH])
    leader = proxy.send(request("GET", "/plain" + path))
    leader.read_body(leader.read_head(), 5)
    with proxy.send(request("GET", "/plain" + path)) as follower:
        answer = follower.read_head()
        leader.sock.close()
        follower.read_body(answer, 5)
        gate.open()
        follower.read_body(answer)
    assert (answer.body, answer.complete, origin.count()) == (b"firstsecond", True, 1)


def test_followers_of_a_cut_answer_get_no_whole_one(proxy, origin, path):
    gate = Gate()
    origin.on(path).raw(
        b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 9\r\n\r\ncut", gate, then="close"
    ).reply(200, b"123456789", [FRESH])
    wires = [proxy.send(request("GET", "/plain" + path)) for _ in range(5)]
    origin.wait_for(path)
    gate.open()
    for wire in wires:
        with wire, contextlib.suppress(BadAnswerError):
            answer = wire.read()
            assert answer.body == b"123456789" or not answer.complete or answer.status == 502
    assert proxy.get("/plain" + path).body == b"123456789"
