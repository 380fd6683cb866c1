"""Is a head that is not plain HTTP/1.1 refused, and is there any way to a tunnel?"""

from __future__ import annotations

import pytest

from tests.journeys.conftest import TOKEN, answers, refused
from tests.wire import BadAnswerError, request

STRANGE = (400, 405, 421, 501, 505)


def get(*lines: bytes, start: bytes = b"GET /x HTTP/1.1", host: bytes | None = b"Host: a") -> bytes:
    return b"\r\n".join([start, *([host] if host is not None else []), *lines, b"", b""])


HOSTS = {
    "missing": None,
    "twice": b"Host: a\r\nHost: a",
    "twice-unequal": b"Host: a\r\nhost: b",
    "twice-apart": b"Host: a\r\nX: 1\r\nHost: b",
    "empty": b"Host:",
    "space": b"Host: a b",
    "slash": b"Host: a/b",
    "at": b"Host: user@a",
    "comma": b"Host: a, b",
    "letters-as-port": b"Host: a:port",
    "large-port": b"Host: a:99999",
    "double-port": b"Host: a:80:81",
    "open-bracket": b"Host: [::1",
    "url": b"Host: http://a",
    "query": b"Host: a?b",
    "fragment": b"Host: a#b",
    "backslash": b"Host: a\\b",
    "nul": b"Host: a\x00b",
    "eight-bit": b"Host: \xe9",
    "percent": b"Host: a%00b",
    "folded": b"Host: a\r\n b",
}


@pytest.mark.parametrize("name", HOSTS)
def test_hosts(guarded, origin, name):
    refused(guarded, get(host=HOSTS[name]), (400, 421))
    assert origin.received() == b""


@pytest.mark.parametrize("host", ["a", "A.b:80", "[::1]:8080", "127.0.0.1", "x_y.z", "a-b.test:65535"])
def test_good_hosts(guarded, origin, host):
    assert guarded.ask("GET", "/x", host=host).status == 200
    assert origin.hit().headers("host") == [origin.authority]


LINES = {
    "http-0.9": b"GET /x\r\n\r\n",
    "bare-lf-everywhere": b"GET /x HTTP/1.1\nHost: a\n\n",
    "bare-lf-after-line": b"GET /x HTTP/1.1\nHost: a\r\n\r\n",
    "bare-lf-after-field": b"GET /x HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n",
    "bare-lf-at-the-end": b"GET /x HTTP/1.1\r\nHost: a\r\n\n",
    "bare-cr-after-line": b"GET /x HTTP/1.1\rHost: a\r\n\r\n",
    "bare-cr-in-value": get(b"X: a\rb"),
    "bare-cr-end-of-value": get(b"X: a\r"),
    "nul-in-value": get(b"X: a\x00b"),
    "control-in-value": get(b"X: a\x01b"),
    "delete-in-value": get(b"X: a\x7fb"),
    "nul-in-name": get(b"X\x00: a"),
    "nul-in-target": get(start=b"GET /a\x00b HTTP/1.1"),
    "cr-in-target": get(start=b"GET /a\rb HTTP/1.1"),
    "tab-in-target": get(start=b"GET /a\tb HTTP/1.1"),
    "fragment-in-target": get(start=b"GET /a#b HTTP/1.1"),
    "space-in-target": get(start=b"GET /a b HTTP/1.1"),
    "space-in-name": get(b"X Y: a"),
    "space-before-colon": get(b"X : a"),
    "tab-before-colon": get(b"X\t: a"),
    "eight-bit-name": get(b"X\xe9: a"),
    "parenthesis-in-name": get(b"X(: a"),
    "empty-name": get(b": a"),
    "no-colon": get(b"X"),
    "folded": get(b"X: a\r\n b"),
    "folded-first": b"GET /x HTTP/1.1\r\n X: a\r\nHost: a\r\n\r\n",
    "method-with-at": get(start=b"G@T /x HTTP/1.1"),
    "method-with-nul": get(start=b"G\x00T /x HTTP/1.1"),
    "method-empty": get(start=b" /x HTTP/1.1"),
    "method-eight-bit": get(start=b"G\xc9T /x HTTP/1.1"),
    "method-long": get(start=b"A" * 9000 + b" /x HTTP/1.1"),
    "tab-for-space": get(start=b"GET\t/x HTTP/1.1"),
    "trailing-space": get(start=b"GET /x HTTP/1.1 "),
    "version-2": get(start=b"GET /x HTTP/2.0"),
    "version-3": get(start=b"GET /x HTTP/3.0"),
    "version-0.9": get(start=b"GET /x HTTP/0.9"),
    "version-1.10": get(start=b"GET /x HTTP/1.10"),
    "version-11.1": get(start=b"GET /x HTTP/11.1"),
    "version-1": get(start=b"GET /x HTTP/1"),
    "version-lower-case": get(start=b"GET /x http/1.1"),
    "version-other": get(start=b"GET /x HTTX/1.1"),
    "version-sip": get(start=b"GET /x SIP/2.0"),
    "version-space": get(start=b"GET /x HTTP/ 1.1"),
    "version-unicode": get(start="GET /x HTTP/1.\u0661".encode()),
    "tls-hello": bytes.fromhex("16030100c8010000c40303") + b"\x00" * 80,
    "garbage": bytes(range(128, 256)) + b"\r\n\r\n",
}


@pytest.mark.parametrize("name", LINES)
def test_lines(guarded, origin, name):
    refused(guarded, LINES[name], STRANGE)
    assert origin.received() == b""


@pytest.mark.parametrize("raw", [b"GET /x\n", b"GET /x\r\n"], ids=["lf", "crlf"])
def test_http_0_9_without_an_empty_line_is_reaped(guarded, origin, raw):
    """It may pass for the start of a head that is slow in coming: then it ends with header_timeout."""
    with guarded.wire(timeout=6) as wire:
        try:
            assert wire.send(raw).read().status in STRANGE
        except BadAnswerError:
            assert wire.ending != "open"
    assert origin.received() == b""


def test_two_spaces_are_refused_or_read_in_the_only_way(guarded, origin):
    (answer,) = answers(guarded, get(start=b"GET  /x HTTP/1.1"), most=1)
    assert answer.status in (200, 400)
    assert [h.raw_head.split(b"\r\n")[0] for h in origin.hits()] in ([], [b"GET /x HTTP/1.1"])


@pytest.mark.parametrize(
    "target",
    [
        b"http://a/x",
        b"HTTP://a/x",
        b"http://evil/x",
        b"https://a/x",
        b"ftp://a/x",
        b"//a/x",
        b"a:80",
        b"*",
        b"x",
        b"?x",
    ],
)
@pytest.mark.parametrize("method", [b"GET", b"POST", b"OPTIONS"])
def test_other_forms_of_target(guarded, origin, target, method):
    refused(guarded, get(b"Content-Length: 0", start=method + b" " + target + b" HTTP/1.1"), STRANGE)
    assert origin.received() == b""


@pytest.mark.parametrize("method", [b"TRACE", b"TRACK", b"trace"])
@pytest.mark.parametrize("forwards", [b"", b"Max-Forwards: 0"], ids=["plain", "max-forwards"])
def test_trace(guarded, origin, method, forwards):
    answer = refused_or_kept(guarded, get(*([forwards] if forwards else []), start=method + b" /x HTTP/1.1"))
    assert answer.status in ((405,) if method == b"TRACE" else (400, 405, 501))
    assert TOKEN.encode() not in answer.raw_head + answer.body
    assert origin.received() == b""


def refused_or_kept(proxy, raw):
    (answer,) = answers(proxy, raw, most=1)
    assert answer.problem["status"] == answer.status
    return answer


@pytest.mark.parametrize("target", [b"evil:443", b"127.0.0.1:1", b"/x", b"http://evil/"])
def test_connect(guarded, origin, target):
    refused(guarded, get(start=b"CONNECT " + target + b" HTTP/1.1"), (400, 405))
    assert origin.received() == b""


def test_http_2_by_prior_knowledge(guarded, origin):
    refused(guarded, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00", STRANGE)
    assert origin.received() == b""


UPGRADES = {
    "websocket": [
        ("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ],
    "h2c": [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABk")],
    "h2c-without-connection": [("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAAQAoAAA")],
    "tls": [("Connection", "upgrade"), ("Upgrade", "TLS/1.2")],
    "list": [("Connection", "keep-alive, upgrade"), ("Upgrade", "h2c, websocket")],
}  # fmt: skip


@pytest.mark.parametrize("name", UPGRADES)
@pytest.mark.parametrize("agreed", [False, True], ids=["ignored", "agreed"])
def test_no_tunnel(guarded, origin, name, agreed):
    """The pipelined bytes after an Upgrade that was not accepted are a request, not a tunnel's."""
    if agreed:
        lines = b"Connection: upgrade\r\nUpgrade: " + dict(UPGRADES[name])["Upgrade"].encode()
        origin.on("/x").raw(b"HTTP/1.1 101 Switching Protocols\r\n" + lines + b"\r\n\r\nevil", then="hold")
    after = b"GET /after HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer evil\r\n\r\n"
    found = answers(guarded, request("GET", "/x", UPGRADES[name]) + after, most=2)
    assert found
    assert found[0].status in ((502, 400, 426) if agreed else (200, 400, 426))
    assert not [a for a in found if a.status == 101 or b"evil" in a.body]
    for hit in origin.hits():
        assert hit.headers("upgrade") == (["websocket"] if name == "websocket" else [])
        assert not hit.headers("http2-settings")
        assert hit.headers("authorization") == [f"Bearer {TOKEN}"]
    assert b"evil" not in origin.received()


def test_an_unasked_101(guarded, origin):
    origin.on("/x").raw(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", then="hold"
    )
    answer = guarded.get("/x")
    assert (answer.status, answer.code) == (502, "bad_upstream_response")
    assert origin.hit().gone.wait(2)


def test_426_is_an_answer_like_others(guarded, origin):
    origin.on("/x").reply(426, b"use h2", [("Upgrade", "h2c"), ("Connection", "upgrade")])
    answer = guarded.get("/x")
    assert (answer.status, answer.code, answer.header("Upgrade")) == (426, "invalid_request", None)


def test_empty_lines_before_a_request_are_harmless(guarded, origin):
    found = answers(guarded, b"\r\n\r\n" + get(), most=1)
    assert [a.status for a in found] in ([200], [400])


def test_a_connection_without_a_word(guarded):
    with guarded.wire() as wire:
        wire.half_close()
        try:
            assert wire.read().status >= 400
        except BadAnswerError:
            assert wire.ending in ("closed", "reset")
