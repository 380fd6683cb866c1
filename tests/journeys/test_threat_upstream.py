"""Does an upstream that lies, babbles or breaks harm anybody but its own answer?"""

from __future__ import annotations

import time

import pytest

from tests.origin import Flood, Gate, head
from tests.wire import BadAnswerError, request

OK = b"HTTP/1.1 200 OK\r\n"
EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"

GARBAGE = {
    "no-http": b"what is this?\r\n\r\n",
    "http-0.9": b"<html>hello</html>",
    "nothing-but-nul": b"\x00" * 100,
    "tls": bytes.fromhex("15030100020228"),
    "empty-line": b"\r\n\r\n",
    "status-letters": b"HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n",
    "status-2-digits": b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
    "status-4-digits": b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
    "status-0": b"HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n",
    "status-negative": b"HTTP/1.1 -20 OK\r\nContent-Length: 0\r\n\r\n",
    "version-2": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "version-0.9": b"HTTP/0.9 200 OK\r\nContent-Length: 0\r\n\r\n",
    "version-other": b"ICY 200 OK\r\nContent-Length: 0\r\n\r\n",
    "cl-unequal": OK + b"Content-Length: 2\r\nContent-Length: 4\r\n\r\nevil",
    "cl-list": OK + b"Content-Length: 2, 4\r\n\r\nevil",
    "cl-plus": OK + b"Content-Length: +4\r\n\r\nevil",
    "cl-minus": OK + b"Content-Length: -4\r\n\r\nevil",
    "cl-hex": OK + b"Content-Length: 0x4\r\n\r\nevil",
    "cl-junk": OK + b"Content-Length: 4x\r\n\r\nevil",
    "cl-empty": OK + b"Content-Length:\r\n\r\nevil",
    "cl-overflow": OK + b"Content-Length: 18446744073709551620\r\n\r\nevil",
    "cl-te": OK + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n",
    "te-unknown": OK + b"Transfer-Encoding: odd\r\n\r\nevil",
    "te-gzip": OK + b"Transfer-Encoding: gzip\r\n\r\nevil",
    "te-not-last": OK + b"Transfer-Encoding: chunked, gzip\r\n\r\n4\r\nevil\r\n0\r\n\r\n",
    "te-twice": OK + b"Transfer-Encoding: chunked, chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n",
    "te-obscured": OK + b"Transfer-Encoding: xchunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n",
    "te-on-1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n",
    "nul-in-value": OK + b"X: a\x00b\r\nContent-Length: 4\r\n\r\nevil",
    "cr-in-value": OK + b"X: a\rSet-Cookie: evil\r\nContent-Length: 4\r\n\r\nevil",
    "control-in-value": OK + b"X: a\x01b\r\nContent-Length: 4\r\n\r\nevil",
    "space-in-name": OK + b"X Y: a\r\nContent-Length: 4\r\n\r\nevil",
    "eight-bit-name": OK + b"X\xe9: a\r\nContent-Length: 4\r\n\r\nevil",
    "parenthesis-in-name": OK + b"X(: a\r\nContent-Length: 4\r\n\r\nevil",
    "tab-before-colon": OK + b"Content-Length\t: 4\r\n\r\nevil",
    "space-before-colon": OK + b"Content-Length : 4\r\n\r\nevil",
    "no-colon": OK + b"evil\r\nContent-Length: 4\r\n\r\nevil",
    "empty-name": OK + b": evil\r\nContent-Length: 4\r\n\r\nevil",
    "cut-in-the-head": OK + b"Content-Len",
    "cut-in-the-status": b"HTTP/1.1 2",
    "many-fields": OK
    + b"".join(b"X-%d: evil\r\n" % n for n in range(20_000))
    + b"Content-Length: 4\r\n\r\nevil",
    "large-field": OK + b"X: " + b"evil" * 262_144 + b"\r\nContent-Length: 4\r\n\r\nevil",
    "large-status-line": b"HTTP/1.1 200 " + b"evil" * 262_144 + b"\r\nContent-Length: 4\r\n\r\nevil",
    "unasked-101": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nevil",
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage(guarded, origin, name):
    origin.on("/x").raw(GARBAGE[name], then="close")
    answer = guarded.get("/x")
    assert (answer.status, answer.code) == (502, "bad_upstream_response")
    assert b"evil" not in answer.raw_head + answer.body
    assert "upstream" not in answer.problem or answer.problem["upstream"].get("name") == "api"
    assert origin.count("/x") == 1
    assert guarded.get("/y").body == b"ok"


FOLDED = {
    "bare-lf": b"HTTP/1.1 200 OK\nX: a\nContent-Length: 4\n\nbody",
    "folded": OK + b"X: a\r\n b\r\nContent-Length: 4\r\n\r\nbody",
    "no-reason": b"HTTP/1.1 200\r\nContent-Length: 4\r\n\r\nbody",
    "empty-reason": b"HTTP/1.1 200 \r\nContent-Length: 4\r\n\r\nbody",
    "cl-equal": OK + b"Content-Length: 4\r\nContent-Length: 4\r\n\r\nbody",
    "version-1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nbody",
    "eight-bit-reason": b"HTTP/1.1 200 \xe9\r\nContent-Length: 4\r\n\r\nbody",
    "chunk-extension": OK + b"Transfer-Encoding: chunked\r\n\r\n4;a=b\r\nbody\r\n0\r\n\r\n",
    "te-upper-case": OK + b"Transfer-Encoding: CHUNKED\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("name", FOLDED)
def test_what_may_be_read_or_refused_but_never_passed_on(guarded, origin, name):
    origin.on("/x").raw(FOLDED[name], then="close")
    answer = guarded.get("/x")  # the raw client is strict about what reaches it
    assert (answer.status, answer.body == b"body") in [(200, True), (502, False)]


AFTER = {
    "extra-bytes": (b"GET", OK + b"Content-Length: 2\r\n\r\nok" + EVIL),
    "extra-after-chunked": (b"GET", OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + EVIL),
    "extra-crlf": (b"GET", OK + b"Content-Length: 2\r\n\r\nok\r\n\r\n" + EVIL),
    "body-after-head": (b"HEAD", EVIL),
    "body-after-204": (b"GET", b"HTTP/1.1 204 No\r\n\r\n" + EVIL),
    "body-after-204-with-length": (b"GET", b"HTTP/1.1 204 No\r\nContent-Length: 4\r\n\r\nevil" + EVIL),
    "body-after-304": (b"GET", b"HTTP/1.1 304 No\r\nContent-Length: 4\r\n\r\nevil" + EVIL),
}


@pytest.mark.parametrize("name", AFTER)
def test_bytes_after_an_answer_reach_nobody(guarded, origin, name):
    method, raw = AFTER[name]
    origin.on("/x").raw(raw)
    with guarded.send(request(method.decode(), "/x")) as wire:
        answer = wire.read(method.decode())
        assert answer.status in (200, 204, 304, 502)
        assert b"evil" not in answer.body
        for number in range(5):
            try:
                wire.send(request("GET", f"/y{number}"))
                assert wire.read().body == b"ok"
            except BadAnswerError:
                break  # closing this connection too is allowed
    for number in range(5):
        assert guarded.post(f"/z{number}").body == b"ok"
    bad = origin.hits("/x")[0].connection
    assert all(h.connection != bad for h in origin.hits() if h.target != "/x")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unsolicited_answer_on_an_idle_connection(guarded, origin, method):
    gate = Gate()
    origin.on("/x").raw(OK + b"Content-Length: 2\r\n\r\nok", gate, EVIL)
    assert guarded.get("/x").body == b"ok"
    bad = origin.hit("/x").connection
    gate.open()
    assert origin.hit("/x").gone.wait(0.3) in (True, False)  # a moment for the bytes to arrive
    for number in range(5):
        assert guarded.ask(method, f"/y{number}", body=b"" if method == "POST" else None).body == b"ok"
    assert all(h.connection != bad for h in origin.hits() if h.target != "/x")


def test_an_unsolicited_408_and_close(guarded, origin):
    gate = Gate()
    origin.on("/x").raw(
        OK + b"Content-Length: 2\r\n\r\nok", gate, head(408, [("Content-Length", "0")]), then="close"
    )
    assert guarded.get("/x").body == b"ok"
    gate.open()
    time.sleep(0.1)
    assert guarded.post("/y").body == b"ok"


@pytest.mark.parametrize("status", [100, 102, 199])
def test_a_few_informational_answers_are_swallowed(guarded, origin, status):
    origin.on("/x").informational(status, 5, b"body")
    answer = guarded.get("/x")
    assert (answer.status, answer.body) == (200, b"body")
    assert set(answer.informational) <= {102, 199}


def test_early_hints_are_forwarded(guarded, origin):
    hint = head(103, [("Link", "</a.css>; rel=preload")])
    origin.on("/x").raw(hint, head(200, [("Content-Length", "4")]) + b"body")
    answer = guarded.get("/x")
    assert (answer.status, answer.body, answer.informational) == (200, b"body", [103])


@pytest.mark.parametrize(
    "hint",
    [
        b"HTTP/1.1 103 Hint\r\nContent-Length : 4\r\n\r\n",
        b"HTTP/1.1 103 Hint\r\nX Y: a\r\n\r\n",
        b"HTTP/1.1 103 Hint\r\nX: a\rb\r\n\r\n",
        b"HTTP/1.1 103 Hint\r\nContent-Length: 4\r\n\r\n",
        b"HTTP/1.1 103 Hint\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 099 Hint\r\n\r\n",
    ],
    ids=["space-before-colon", "space-in-name", "cr-in-value", "length", "coding", "status-99"],
)
def test_an_unsafe_interim_answer_is_not_passed_on(guarded, origin, hint):
    origin.on("/x").raw(hint + head(200, [("Content-Length", "4")]) + b"body", then="close")
    answer = guarded.get("/x")
    assert answer.informational in ([], [103])
    assert (answer.status, answer.body == b"body") in [(200, True), (502, False)]


def test_early_hints_are_not_for_http_1_0(guarded, origin):
    origin.on("/x").informational(103, 1, b"body")
    with guarded.send(b"GET /x HTTP/1.0\r\nHost: a\r\n\r\n") as wire:
        answer = wire.read()
    assert (answer.status, answer.informational, answer.body) == (200, [], b"body")


@pytest.mark.parametrize("status", [100, 102, 103])
def test_a_flood_of_informational_answers_is_bounded(guarded, origin, status):
    piece = head(status) * 2000
    origin.on("/x").raw(Flood(len(piece) * 4000, piece), OK + b"Content-Length: 0\r\n\r\n")
    before = guarded.rss()
    answer = guarded.get("/x")
    assert (answer.status, answer.code) == (502, "bad_upstream_response")
    assert len(answer.informational) < 2000
    assert guarded.rss() - before < 20_000_000
    assert origin.hit("/x").gone.wait(5)


@pytest.mark.parametrize("then", ["drain", "close", "half"])
def test_an_early_413_is_relayed_and_the_upload_stopped(leeward, origin, then):
    upstream = {"base_url": origin.url, "prefix": "/", "retry": {"attempts": 1}}
    proxy = leeward({"server": {"max_request_body": "1GiB"}, "upstreams": {"api": upstream}})
    origin.on("/x").early(413, b'{"message": "too much"}', then=then)
    size = 500_000_000
    with proxy.send(request("POST", "/x", [("Content-Length", str(size))])) as wire:
        wire.send(b"z" * 100_000)
        answer = wire.read()
        assert (answer.status, answer.code, answer.problem["detail"]) == (413, "invalid_request", "too much")
        wire.sock.settimeout(10)
        for _ in range(size // 1_000_000):
            try:
                wire.sock.sendall(b"z" * 1_000_000)
            except OSError:
                break
        else:
            raise AssertionError("the whole upload was swallowed")
    assert not origin.hit("/x").complete
    assert origin.hit("/x").size < 50_000_000


def test_a_half_closed_upstream_is_heard_out(guarded, origin):
    origin.on("/x").raw(OK + b"Content-Length: 4\r\n\r\nbody", then="half")
    origin.on("/y").raw(OK + b"\r\nbody", then="half")
    for path in ("/x", "/y"):
        answer = guarded.get(path)
        assert (answer.status, answer.body, answer.complete) == (200, b"body", True)


def test_an_upstream_that_hangs_up_on_arrival(leeward, origin):
    proxy = leeward({"upstreams": {"api": {"base_url": origin.url, "prefix": "/"}}}, fresh=True)
    origin.hang_up = 2
    assert proxy.get("/x").status == 200
    assert origin.count("/x") == 1


def test_after_the_first_byte_nothing_is_repeated(leeward, origin):
    proxy = leeward({"upstreams": {"api": {"base_url": origin.url, "prefix": "/", "retry": {"attempts": 3}}}})
    origin.on("/x").cut(b"0123456789", 5).reply(200, b"again")
    answer = proxy.get("/x")
    assert not answer.complete or answer.status == 502
    assert origin.count("/x") <= 1


def test_a_drip_of_a_head_has_an_end(leeward, origin):
    upstream = {
        "base_url": origin.url,
        "prefix": "/",
        "retry": {"attempts": 1},
        "timeout": {"attempt": "500ms"},
    }
    proxy = leeward({"upstreams": {"api": upstream}})
    origin.on("/x").raw(*drip(), then="close")
    answer = proxy.get("/x")
    assert (answer.status, answer.code) == (504, "upstream_timeout")


def drip():
    def slowly(hit):
        time.sleep(0.2)
        return b"X: y\r\n"

    return [OK, *[slowly] * 50, b"\r\n"]
