"""Does a message pass unchanged but for what a proxy has to change?"""

from __future__ import annotations

import gzip
import re

import pytest

from tests.origin import head
from tests.wire import request

OURS = {"host", "via", "x-request-id", "traceparent"}  # what a proxy adds upstream


def may_be_refused(target: str) -> bool:
    """What a strict reader may refuse; it is never changed."""
    return "%00" in target or not target.isascii()


def passed(hit) -> list[tuple[str, str]]:
    """What came of the caller's own fields."""
    fields = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in hit.fields]
    return [field for field in fields if field[0].lower() not in OURS]


TARGETS = [
    "/", "/a/b/c", "/a//b", "/a/", "/%2F", "/a%2fb/%2F%2f", "/a+b%20c", "/?", "/?a=b+c&a=%20&&b",
    "/x?b=2&a=1&b=1",
    "/%zz", "/%", "/100%/x", "/caf\xc3\xa9?q=\xff\xfe", "/~user/!$&'()*,;=:@", "/x?q=/../..",
    "/a?next=http://evil/?x",
    "/%E4%BD%A0?%e4%bd%a0", "/a|b^c`{d}", '/x?q="<>', "/a;b=c/d;e", "/.well-known/x", "/..a/b..",
    "/a...b/.../c",
    "/x?" + "k=v&" * 500, "/" + "p" * 2000, "/[x]?[y]=1", "/a%00b", "/A%41?%41=A", "/x?a=b?c=d", "/a@b:c",
    "/x:80/",
]  # fmt: skip


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t[:24].encode("unicode_escape").decode())
def test_the_target_is_byte_exact(proxy, origin, target):
    answer = proxy.get(target)
    if answer.status == 400 and may_be_refused(target):
        return
    assert answer.status == 200
    assert origin.hit().target == target


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t[:24].encode("unicode_escape").decode())
def test_under_a_prefix_and_a_base_path_too(leeward, origin, target):
    proxy = leeward({"upstreams": {"api": {"base_url": origin.url + "/v1", "cache": {"enabled": False}}}})
    answer = proxy.get("/api" + target)
    if answer.status == 400 and may_be_refused(target):
        return
    assert answer.status == 200
    assert origin.hit().target == "/v1" + target


def test_fields_keep_their_order_number_and_spelling(proxy, origin):
    sent = [
        ("X-One", "1"), ("x-two", "a"), ("X-ONE", "2"), ("X-Two", "b, c"), ("X-Empty", ""),
        ("x_under_score", "u"),
        ("X-8bit", "caf\xe9"), ("Accept", "a"), ("Accept", "b"), ("!#$%&'*+.^`|~", "odd name"),
        ("X-Tab", "a\tb"),
        ("Cookie", "a=1"), ("Cookie", "b=2"), ("User-Agent", "me"), ("Content-Type", "x/y"), ("DNT", "1"),
    ]  # fmt: skip
    proxy.get("/x", *sent)
    assert passed(origin.hit()) == sent


def test_nothing_is_made_up(proxy, origin):
    proxy.get("/x")
    assert passed(origin.hit()) == []
    assert origin.hit().headers("host") == [origin.authority]


@pytest.mark.parametrize("size", ["0", "1"])
def test_a_post_gets_no_type_that_it_did_not_have(proxy, origin, size):
    proxy.post("/x", b"b" * int(size))
    assert passed(origin.hit()) == [("Content-Length", size)]


HOP = [
    ("Connection", "X-Listed, close, x-also"), ("X-Listed", "1"), ("X-Also", "2"),
    ("Keep-Alive", "timeout=5"),
    ("Proxy-Connection", "keep-alive"), ("TE", "trailers"), ("Trailer", "X-T"),
    ("Proxy-Authorization", "Basic x"), ("Proxy-Authenticate", "Basic"),
]  # fmt: skip


def test_hop_by_hop_fields_end_here(proxy, origin):
    proxy.get("/x", *HOP, ("X-Kept", "1"))
    assert passed(origin.hit()) == [("X-Kept", "1")]


def test_hop_by_hop_fields_of_the_answer_too(proxy, origin):
    sent = [(n, v.replace("close, ", "")) for n, v in HOP if n not in ("TE", "Proxy-Authorization")]
    origin.on("/x").reply(200, b"x", [*sent, ("X-Kept", "1"), ("Upgrade", "h2c")])
    answer = proxy.get("/x")
    names = {n.lower() for n, _ in answer.fields}
    assert not names & {"x-listed", "x-also", "keep-alive", "proxy-connection", "trailer", "upgrade"}
    assert "X-Listed" not in (answer.header("Connection") or "")
    assert (answer.header("X-Kept"), answer.body) == ("1", b"x")


def test_fields_of_the_answer_keep_their_order_number_and_spelling(proxy, origin):
    sent = [
        ("Set-Cookie", "a=1; Path=/"), ("X-One", "1"), ("SET-COOKIE", "b=2"), ("x-one", "2"), ("X-Empty", ""),
        ("Server", "them/1"), ("Date", "Thu, 01 Dec 1994 16:00:00 GMT"), ("X-8bit", "caf\xe9"),
        ("Via", "1.1 them"), ("Content-Type", "text/odd; x=y"), ("Link", "</a>; rel=b"), ("under_score", "1"),
    ]  # fmt: skip
    origin.on("/x").reply(200, b"x", sent)
    answer = proxy.get("/x")
    names = {n for n, _ in sent}
    mine = [f for f in answer.fields if f[0] in names]
    assert [f for f in mine if f[0] != "Via"] == [f for f in sent if f[0] != "Via"]
    assert ", ".join(answer.headers("Via")) == "1.1 them, 1.1 leeward"


def test_the_server_does_not_name_itself(proxy, origin):
    answer = proxy.get("/x")
    assert answer.header("Server") is None
    assert b"aiohttp" not in answer.raw_head
    assert b"aiohttp" not in origin.hit().raw_head


def test_via_and_request_id(proxy, origin):
    answer = proxy.get("/x", ("Via", "1.0 before"))
    hit = origin.hit()
    assert ", ".join(hit.headers("Via")) == "1.0 before, 1.1 leeward"
    assert answer.headers("Via") == ["1.1 leeward"]
    made = answer.header("X-Request-Id")
    assert made
    assert re.fullmatch(r"[!-~]{10,64}", made)
    assert hit.headers("X-Request-Id") == [made]
    assert proxy.get("/x").header("X-Request-Id") != made


def test_the_callers_request_id_is_kept(proxy, origin):
    assert proxy.get("/x", ("X-Request-Id", "mine-42")).headers("X-Request-Id") == ["mine-42"]
    assert origin.hit().headers("X-Request-Id") == ["mine-42"]


@pytest.mark.parametrize("bad", ["x" * 5000, "a b\tc", "\xe9", ""])
def test_an_odd_request_id_is_kept_or_replaced_but_harms_nothing(proxy, origin, bad):
    answer = proxy.get("/x", ("X-Request-Id", bad))
    assert answer.status == 200
    assert len(answer.headers("X-Request-Id")) == 1
    assert origin.hit().headers("X-Request-Id") == answer.headers("X-Request-Id")


def test_trace_context(proxy, origin):
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    proxy.get("/x", ("traceparent", trace), ("tracestate", "a=b"))
    (passed_on,) = origin.hit().headers("traceparent")
    assert passed_on.split("-")[1] == trace.split("-")[1]
    assert origin.hit().headers("tracestate") == ["a=b"]


def test_who_calls_is_told_only_where_wanted(leeward, proxy, origin):
    proxy.get("/x")
    assert not [n for n, _ in origin.hit().fields if n.lower() in (b"forwarded", b"x-forwarded-for")]
    told = leeward({"upstreams": {"api": {"base_url": origin.url, "prefix": "/", "forwarded": True}}})
    told.get("/y")
    assert [n for n, _ in origin.hit("/y").fields if n.lower() in (b"forwarded", b"x-forwarded-for")]


def test_configured_fields(leeward, origin):
    headers = {"set": {"X-Version": "2", "Accept": "x/y"}, "remove": ["Cookie", "X-Secret"]}
    proxy = leeward({"upstreams": {"api": {"base_url": origin.url, "prefix": "/", "headers": headers}}})
    proxy.get("/x", ("Accept", "a"), ("accept", "b"), ("Cookie", "c"), ("x-secret", "s"), ("X-Kept", "k"))
    assert sorted(passed(origin.hit())) == [("Accept", "x/y"), ("X-Kept", "k"), ("X-Version", "2")]


@pytest.mark.parametrize(
    "status", [200, 201, 202, 203, 206, 226, 299, 300, 301, 302, 303, 307, 308, 599, 999]
)
def test_odd_statuses(leeward, origin, status):
    proxy = leeward({"upstreams": {"api": {"base_url": origin.url, "prefix": "/", "errors": "annotate"}}})
    origin.on("/x").reply(status, b"body", [("Location", "http://elsewhere.invalid/?a=%2F")])
    answer = proxy.get("/x")
    assert (answer.status, answer.body) == (status, b"body")
    assert answer.header("Location") == "http://elsewhere.invalid/?a=%2F"
    assert origin.count() == 1


METHODS = [
    "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY", "PURGE", "M-SEARCH",
    "NOTIFY", "SUBSCRIBE", "UNSUBSCRIBE", "LINK", "UNLINK", "SOURCE", "PROPFIND", "PROPPATCH", "MKCOL",
    "COPY", "MOVE", "LOCK", "UNLOCK", "SEARCH", "REPORT", "ACL", "BIND", "REBIND",
    "UNBIND", "MKACTIVITY", "MKCALENDAR", "CHECKOUT", "MERGE",
]  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_methods(proxy, origin, method):
    answer = proxy.ask(method, "/x", [("Depth", "1")], b"<a/>" if method != "GET" else None)
    assert answer.status == 200
    assert origin.hit().method == method
    assert origin.hit().header("depth") == "1"
    assert origin.hit().body == (b"" if method == "GET" else b"<a/>")


@pytest.mark.parametrize("method", ["FOO", "LIST", "BREW", "get", "Post", "POS", "GETX", "ANNOUNCE"])
def test_a_method_that_is_not_known_is_refused_and_told_so(proxy, origin, method):
    answer = proxy.ask(method, "/x", [("Depth", "1")], b"<a/>")
    assert (answer.status, answer.code) == (400, "bad_request")
    assert answer.json()["detail"].startswith("The method is not one that is known here")
    assert origin.count() == 0


def test_delete_without_a_body_has_none(proxy, origin):
    proxy.ask("DELETE", "/x")
    assert passed(origin.hit()) == []


@pytest.mark.parametrize("status", [204, 304])
def test_answers_without_a_body(proxy, origin, status):
    origin.on("/x").reply(status, headers=[("ETag", '"1"')])
    with proxy.send(request("GET", "/x", [("If-None-Match", '"1"')])) as wire:
        answer = wire.read()
        assert (answer.status, answer.body, answer.header("ETag")) == (status, b"", '"1"')
        wire.send(request("GET", "/y"))
        assert wire.read().body == b"ok"


def test_head_keeps_the_length(proxy, origin):
    origin.on("/x").reply(200, b"x" * 1234)
    with proxy.send(request("HEAD", "/x")) as wire:
        answer = wire.read("HEAD")
        assert (answer.status, answer.body, answer.header("Content-Length")) == (200, b"", "1234")
        wire.send(request("GET", "/y"))
        assert wire.read().body == b"ok"
    assert origin.hit("/x").method == "HEAD"


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "zstd", "odd"])
def test_encoded_bodies_are_not_touched(proxy, origin, coding):
    packed = gzip.compress(b"hello" * 100)
    origin.on("/x").reply(200, packed, [("Content-Encoding", coding), ("ETag", '"a"')])
    answer = proxy.ask("POST", "/x", [("Content-Encoding", coding), ("Accept-Encoding", coding)], packed)
    assert (answer.body, answer.headers("Content-Encoding")) == (packed, [coding])
    assert answer.headers("Content-Length") == [str(len(packed))]
    hit = origin.hit()
    assert (hit.body, hit.headers("Content-Encoding"), hit.headers("Accept-Encoding")) == (
        packed,
        [coding],
        [coding],
    )


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 1_000_003])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_bodies_of_every_size(proxy, origin, size, framing):
    body = bytes(n % 251 for n in range(size % 251)) + b"\x00" * (size - size % 251)
    if framing == "length":
        origin.on("/x").raw(lambda hit: head(200, [("Content-Length", str(hit.size))]) + hit.body)
        answer = proxy.post("/x", body)
        assert origin.hit().headers("Content-Length") == [str(size)]
    else:
        pieces = [body[at : at + 7919] for at in range(0, size, 7919)]
        origin.on("/x").chunked(*pieces)
        sent = b"".join(f"{len(p):x}\r\n".encode() + p + b"\r\n" for p in pieces) + b"0\r\n\r\n"
        with proxy.send(b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + sent) as wire:
            answer = wire.read()
    assert origin.hit().body == body
    assert (answer.body, answer.complete) == (body, True)


def test_connections_are_kept_on_both_sides(proxy, origin):
    with proxy.wire() as wire:
        for number in range(5):
            wire.send(request("GET", f"/x{number}"))
            assert wire.read().status == 200
    assert len({h.connection for h in origin.hits()}) == 1


def test_http_1_0(proxy, origin):
    with proxy.send(b"GET /x HTTP/1.0\r\n\r\n") as wire:
        answer = wire.read()
        assert (answer.status, answer.body) == (200, b"ok")
        assert wire.end() == "closed"
    assert origin.hit().version == "HTTP/1.1"
    origin.on("/c").chunked(b"abc", b"def")
    with proxy.send(b"GET /c HTTP/1.0\r\nHost: a\r\n\r\n") as wire:
        answer = wire.read()
        assert (answer.framing in ("close", "length"), answer.body) == (True, b"abcdef")
