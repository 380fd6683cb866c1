"""What do APIs need from a cache beyond HTTP: POSTs, GraphQL, event streams, cookies, and to be told why?"""

from __future__ import annotations

import json
import re
from urllib.parse import quote

import pytest

from tests.origin import Gate
from tests.wire import request

FRESH = ("Cache-Control", "max-age=60")
JSON = ("Content-Type", "application/json")
STREAM = ("Content-Type", "text/event-stream; charset=utf-8")


@pytest.fixture
def proxy(leeward, origin):
    plain = {"base_url": origin.url, "errors": "annotate", "retry": {"attempts": 1}}
    posts = {
        "methods": ["GET", "POST"],
        "override_ttl": "60s",
        "key": {"ignore_body_fields": ["user", "metadata.trace", "items.*.id"]},
    }
    upstreams = {
        "plain": plain,
        "default": {**plain, "cache": {"default_ttl": "60s"}},
        "posts": {**plain, "rules": [{"match": {"method": "POST"}, "cache": posts}]},
        "kept": {**plain, "rules": [{"match": {"path": "/**"}, "cache": {"store_set_cookie": True}}]},
    }
    return leeward({"upstreams": upstreams})


@pytest.fixture
def path(request):
    return "/" + re.sub(r"\W+", "-", request.node.name)


def told(answer):
    return answer.header("Cache-Status") or ""


def test_a_post_is_answered_by_what_its_json_says(proxy, origin, path):
    origin.on(path).reply(200, b"one").reply(200, b"two")
    same = [
        b'{"model":"m","items":[{"id":1,"a":2}],"user":"x"}',
        b'{ "items": [ {"a": 2, "id": 7} ],\n "model": "m", "metadata": {} , "user": "y"}',
    ]
    other = b'{"model":"m","items":[{"id":1,"a":2.0}],"metadata":{}}'
    answers = [proxy.post("/posts" + path, body, JSON) for body in (same[1], other, same[1], other)]
    assert [answer.body for answer in answers] == [b"one", b"two", b"one", b"two"]
    assert told(answers[2]).startswith("leeward; hit; ttl=")
    assert [hit.body for hit in origin.hits(path)] == [same[1], other]
    with_trace = same[1].replace(b'"metadata": {}', b'"metadata": {"trace": 3}')
    assert proxy.post("/posts" + path, with_trace, JSON).body == b"one"
    assert origin.count(path) == 2


def test_graphql_queries_are_kept_and_mutations_never(proxy, origin, path):
    origin.on(path).reply(200, b"1").reply(200, b"2").reply(200, b"3").reply(200, b"4")

    def ask(document, **more):
        return proxy.post("/posts" + path, json.dumps({"query": document, **more}).encode(), JSON)

    query, mixed = "query A { a(x: 1) }", "query A { a } mutation B { b }"
    assert [ask(query).body, ask(query).body] == [b"1", b"1"]
    assert ask(query, variables={"x": 2}).body == b"2"
    changed = ask(mixed, operationName="A")
    assert (changed.body, told(changed)) == (b"3", "leeward; fwd=bypass; fwd-status=200; detail=mutation")
    assert ask(query).body == b"4"  # what it may have changed is asked for anew


@pytest.mark.parametrize("how", ["get", "post"])
@pytest.mark.parametrize("framing", ["chunked", "length"])
def test_an_event_stream_is_replayed_as_it_was(proxy, origin, path, how, framing):
    events = [
        b": begin\n\n",
        b"event: a\r\ndata: 1\r\n\r\n",
        b"id: 2\ndata: x\ndata: y\n\n",
        b"data: [DONE]\n\n",
    ]
    if framing == "chunked":
        origin.on(path).chunked(*events, headers=[STREAM, FRESH])
    else:
        origin.on(path).reply(200, b"".join(events), [STREAM, FRESH])

    def ask():
        if how == "get":
            return proxy.get("/plain" + path)
        return proxy.post("/posts" + path, b'{"stream": true}', JSON)

    live, replayed = ask(), ask()
    assert live.body == replayed.body == b"".join(events)
    assert live.complete
    assert replayed.complete
    assert live.headers("Content-Type") == replayed.headers("Content-Type") == [STREAM[1]]
    assert told(replayed).startswith("leeward; hit")
    assert origin.count(path) == 1


def test_who_comes_while_it_streams_reads_along(proxy, origin, path):
    gate = Gate()
    origin.on(path).chunked(b"data: 1\n\n", gate, b"data: 2\n\n", headers=[STREAM, FRESH])
    with proxy.send(request("GET", "/plain" + path)) as one:
        first = one.read_head()
        one.read_body(first, 9)
        with proxy.send(request("GET", "/plain" + path)) as other:
            second = other.read_head()
            other.read_body(second, 9)  # the event that is here, before the stream goes on
            gate.open()
            one.read_body(first)
            other.read_body(second)
    assert first.body == second.body == b"data: 1\n\ndata: 2\n\n"
    assert origin.count(path) == 1


@pytest.mark.parametrize("upstream", ["plain", "default"])
def test_a_stream_that_says_nothing_is_live(proxy, origin, path, upstream):
    origin.on(path).chunked(b"data: 1\n\n", headers=[STREAM])
    for _ in range(2):
        assert proxy.get(f"/{upstream}{path}").body == b"data: 1\n\n"
    assert origin.count(path) == 2


def test_a_stream_that_broke_off_is_not_replayed(proxy, origin, path):
    script = origin.on(path).chunked(b"data: 1\n\n", b"data: 2", headers=[STREAM, FRESH], last=False)
    script.chunked(b"data: 1\n\n", b"data: 2\n\n", headers=[STREAM, FRESH])
    assert not proxy.get("/plain" + path).complete
    for _ in range(2):
        assert proxy.get("/plain" + path).body == b"data: 1\n\ndata: 2\n\n"
    assert origin.count(path) == 2


@pytest.mark.parametrize("body", [b"data: 1\n\ndata: 2", b"data: 1\n\nevent: error\ndata: overloaded\n\n"])
def test_a_stream_that_ended_badly_though_cleanly_is_not_replayed(proxy, origin, path, body):
    """Without a length, a closed connection is all the end that there is."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: max-age=60\r\n\r\n"
    origin.on(path).raw(head + body, then="close")
    for _ in range(2):
        assert proxy.get("/plain" + path).body == body
    assert origin.count(path) == 2


def test_an_answer_with_a_cookie_is_kept_without_it_where_configured(proxy, origin, path):
    origin.on(path).reply(200, b"x", [FRESH, ("Set-Cookie", "session=first"), ("Set-Cookie", "b=c")])
    answers = [proxy.get("/kept" + path) for _ in range(3)]
    assert [answer.headers("Set-Cookie") for answer in answers] == [["session=first", "b=c"], [], []]
    assert origin.count(path) == 1
    for _ in range(2):
        assert proxy.get("/plain" + path).headers("Set-Cookie") == ["session=first", "b=c"]


def test_the_admin_port_says_what_would_become_of_a_request(proxy, origin, path):
    origin.on(path).reply(200, b"x", [FRESH])

    def explained():
        return proxy.admin_json(f"/api/v1/explain?method=GET&path={quote('/plain' + path)}")

    before = explained()
    proxy.get("/plain" + path)
    after = explained()
    assert (before["cache"]["verdict"], before["cache"]["reason"]) == ("miss", "uri-miss")
    assert (after["cache"]["verdict"], after["cache"]["reason"]) == ("hit", "fresh")
    assert re.fullmatch(r"leeward; hit; ttl=\d+", after["cache"]["status"])
    assert after["upstream"]["url"] == origin.url + path
    assert origin.count(path) == 1
    assert proxy.admin_ask("GET", "/api/v1/explain?path=/nowhere").status == 404
