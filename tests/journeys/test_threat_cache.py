"""Can one caller choose what another gets from the cache? In no way."""

from __future__ import annotations

import itertools

import pytest

from tests.origin import head
from tests.wire import request

FRESH = ("Cache-Control", "max-age=60")
_UNIQUE = itertools.count()


@pytest.fixture
def path():
    return f"/case-{next(_UNIQUE)}"


@pytest.fixture
def proxy(leeward, origin):
    upstream = {"base_url": origin.url, "errors": "annotate", "retry": {"attempts": 1}}
    ttl = {**upstream, "cache": {"default_ttl": "60s"}}
    return leeward({"upstreams": {"api": {**upstream, "prefix": "/"}, "ttl": ttl}})


UNKEYED = {
    "X-Forwarded-Host": "evil", "X-Forwarded-Proto": "http", "X-Forwarded-For": "1.2.3.4",
    "X-Forwarded-Port": "1",
    "X-Forwarded-Prefix": "/evil", "X-Forwarded-Scheme": "nothttps", "X-Forwarded-Server": "evil",
    "X-Original-URL": "/evil", "X-Rewrite-URL": "/evil", "X-Original-Host": "evil", "X-Host": "evil",
    "X-HTTP-Method-Override": "DELETE", "X-HTTP-Method": "PUT", "X-Method-Override": "POST",
    "Forwarded": "host=evil",
    "Origin": "http://evil", "Cookie": "a=evil", "X-Api-Key": "evil", "Authorization": "Bearer evil",
    "X-Auth-Token": "evil", "X-Real-IP": "1.2.3.4", "True-Client-IP": "1.2.3.4",
    "Stripe-Account": "evil", "Ocp-Apim-Subscription-Key": "evil", "X-Scope-OrgID": "evil", "Sudo": "evil",
}  # fmt: skip


@pytest.mark.parametrize("name", UNKEYED)
def test_fields_that_may_change_the_answer(proxy, origin, path, name):
    origin.on(path).raw(
        lambda hit: (
            head(200, [FRESH, ("Content-Length", "4")])
            + (b"evil" if hit.header(name) == UNKEYED[name] else b"good")
        )
    )
    evil = (name, UNKEYED[name])
    received = proxy.get(path, evil).body
    assert received == b"evil" or origin.hit().header(name) is None  # not forwarding it is as good
    for _ in range(2):
        assert proxy.get(path).body == b"good"
        assert proxy.get(path, evil).body == received


def test_a_get_with_a_body_neither_reads_nor_fills(proxy, origin, path):
    origin.on(path).raw(lambda hit: head(200, [FRESH, ("Content-Length", str(hit.size))]) + hit.body)
    assert proxy.ask("GET", path, body=b"evil").body == b"evil"
    assert proxy.get(path).body == b""
    assert proxy.ask("GET", path, body=b"mine").body == b"mine"
    assert proxy.get(path).body == b""
    assert origin.count() == 3


PAIRS = [
    ("?b", "%3fb"), ("?b", "%3Fb"), ("", "?"), ("", ";b"), ("", "/"), ("/b", "%2fb"), ("/b", "//b"),
    ("/B", "/b"),
    ("?x=1&x=2", "?x=2&x=1"), ("?x=1", "?x=1&x=2"), ("?x=1;y=2", "?x=1&y=2"), ("?x=%41", "?x=A"),
    ("?x=+", "?x=%20"),
    ("", "%00"), ("", "%0a"), ("", "%23"), ("", ".css"), ("", "%20"), ("?x", "?x="), ("%c3%a9", "%C3%A9"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_nothing_is_normalised_in_the_key(proxy, origin, path, one, other):
    answered = []
    for tail in (one, other):
        text = tail.encode() or b"-"
        origin.on(path + tail).reply(200, text, [FRESH])
        for _ in range(2):
            answer = proxy.get(path + tail)
            answered.append((answer.status, answer.body))
            assert answer.status == 400 or answer.body == text
    assert answered[0] != answered[2]


@pytest.mark.parametrize(
    "tail", ["/x.css", ";x.css", "%00.css", "%0a.js", "%23.png", "/style.css?x", ".ico", "%3f.gif"]
)
def test_an_extension_makes_nothing_cacheable(proxy, origin, path, tail):
    for _ in range(2):
        proxy.get(path + tail)
    assert origin.count() in (0, 2)


@pytest.mark.parametrize("status", [400, 403, 404, 413, 414, 429, 431, 500, 502, 503])
def test_errors_are_not_kept_without_a_word_of_the_origin(proxy, origin, path, status):
    origin.on(path).reply(status, b"poison").reply(200, b"fine")
    assert proxy.get("/ttl" + path, ("X-Too-Much", "x" * 100)).status in (status, 502)
    assert proxy.get("/ttl" + path).body == b"fine"


def test_own_failures_are_not_kept(proxy, origin, path):
    origin.on(path).raw(b"garbage\r\n\r\n", then="close").reply(200, b"fine", [FRESH])
    assert proxy.get(path).status == 502
    assert proxy.get(path).body == b"fine"


def test_parts_and_conditions_do_not_mix_with_the_whole(proxy, origin, path):
    part = (
        head(206, [FRESH, ("Content-Range", "bytes 0-1/4"), ("Content-Length", "2"), ("ETag", '"1"')]) + b"bo"
    )
    whole = head(200, [FRESH, ("Content-Length", "4"), ("ETag", '"1"')])
    origin.on(path).raw(
        lambda h: part if h.header("range") else whole + (b"" if h.method == "HEAD" else b"body")
    )
    asked = [
        ("HEAD", []), ("GET", [("Range", "bytes=0-1")]), ("GET", []), ("GET", [("Range", "bytes=0-1")]),
        ("HEAD", []),
        ("GET", [("If-None-Match", '"1"')]), ("GET", []), ("GET", [("Range", "bytes=0-1"),
        ("If-Range", '"0"')]),
    ]  # fmt: skip
    right = {200: b"body", 206: b"bo", 304: b""}
    for method, headers in asked:
        answer = proxy.ask(method, path, headers)
        assert answer.body == (b"" if method == "HEAD" else right[answer.status])
        if not headers:
            assert (answer.status, answer.header("Content-Length")) == (200, "4")


def test_an_unasked_304_or_206_is_no_answer_for_others(proxy, origin, path):
    origin.on(path).reply(304, headers=[FRESH, ("ETag", '"1"')]).reply(200, b"body", [FRESH])
    proxy.get(path)
    assert proxy.get(path).body == b"body"


def test_a_callers_condition_does_not_fill_the_cache_with_304(proxy, origin, path):
    origin.on(path).raw(
        lambda h: (
            head(304, [FRESH, ("ETag", '"1"')])
            if h.header("if-none-match")
            else head(200, [FRESH, ("ETag", '"1"'), ("Content-Length", "4")]) + b"body"
        )
    )
    assert proxy.get(path, ("If-None-Match", '"1"')).status == 304
    answer = proxy.get(path)
    assert (answer.status, answer.body) == (200, b"body")


def test_vary_keeps_callers_apart_even_in_a_stampede(proxy, origin, path):
    origin.on(path).raw(
        lambda h: (
            head(200, [FRESH, ("Vary", "X-User"), ("Content-Length", "3")])
            + (h.header("X-User") or "---").encode()
        )
    )
    users = [f"u{n:02}" for n in range(30)]
    wires = [proxy.send(request("GET", path, [("X-User", user)])) for user in users for _ in range(2)]
    bodies = [wire.read().body.decode() for wire in wires]
    for wire in wires:
        wire.sock.close()
    assert bodies == [user for user in users for _ in range(2)]


def test_uncacheable_answers_of_a_stampede_are_not_shared(proxy, origin, path):
    origin.on(path).raw(
        lambda h: (
            head(200, [("Cache-Control", "no-store"), ("Content-Length", "3")])
            + (h.header("X-User") or "---").encode()
        )
    )
    users = [f"u{n:02}" for n in range(40)]
    wires = [proxy.send(request("GET", path, [("X-User", user)])) for user in users]
    assert [wire.read().body.decode() for wire in wires] == users
    for wire in wires:
        wire.sock.close()


def test_the_memory_is_bounded_by_bytes(leeward, origin):
    config = {
        "cache": {"max_bytes": "8MiB", "max_entry_bytes": "1MiB"},
        "upstreams": {"api": {"base_url": origin.url, "prefix": "/"}},
    }
    proxy = leeward(config, fresh=True)
    origin.on("*").reply(200, b"x" * 500_000, [FRESH])
    for number in range(60):
        assert proxy.get(f"/n{number}").status == 200
    assert proxy.metric("leeward_cache_bytes") <= 8 * 1024 * 1024
    assert proxy.metric("leeward_cache_evictions_total") > 30
    origin.on("/large").reply(200, b"x" * 2_000_000, [FRESH])
    for _ in range(2):
        assert len(proxy.get("/large").body) == 2_000_000
    assert origin.count("/large") == 2
