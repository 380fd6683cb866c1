"""Is the end of one body ever taken for the start of another message?"""

from __future__ import annotations

import gzip

import pytest

from tests.journeys.conftest import TOKEN, answers
from tests.wire import BadAnswerError, request

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
AFTER = b"GET /after HTTP/1.1\r\nHost: a\r\n\r\n"
FRESH = [("Cache-Control", "max-age=60")]


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_body_that_looks_like_a_request(guarded, origin, framing):
    body = SMUGGLED * 3
    if framing == "length":
        raw = request("POST", "/x", body=body)
    else:
        raw = b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (
            len(body),
            body,
        )
    found = answers(guarded, raw + AFTER, most=2)
    assert [a.status for a in found] == [200, 200]
    assert [h.target for h in origin.hits()] == ["/x", "/after"]
    hit = origin.hits()[0]
    assert hit.body == body
    assert len(hit.headers("content-length")) + len(hit.headers("transfer-encoding")) == 1


def test_a_body_in_single_bytes(guarded, origin):
    raw = request("POST", "/x", body=SMUGGLED)
    with guarded.wire() as wire:
        wire.send(*(raw[n : n + 1] for n in range(len(raw))))
        assert wire.read().status == 200
    assert origin.hit().body == SMUGGLED


def test_a_thousand_tiny_chunks(guarded, origin):
    raw = (
        b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"1\r\nz\r\n" * 20_000
        + b"0\r\n\r\n"
    )
    assert answers(guarded, raw, most=1)[0].status == 200
    assert origin.hit().body == b"z" * 20_000


UNREAD = {
    "no-body-needed-hit": "/hit",
    "refused-target": "/a/../b",
    "not-cached": "/nc",
}


@pytest.mark.parametrize("size", [len(SMUGGLED), 60_000, 3_000_000])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("name", UNREAD)
def test_an_unread_body_is_never_parsed(guarded, origin, name, method, size):
    target = UNREAD[name]
    origin.on("/hit").reply(200, b"stored", FRESH)
    guarded.get("/hit")
    body = (SMUGGLED * (size // len(SMUGGLED) + 1))[:size]
    wish = [("Cache-Control", "only-if-cached")] if target == "/nc" else []
    answers(guarded, request(method, target, wish, body) + AFTER)
    assert origin.count("/smuggled") == 0


@pytest.mark.parametrize("target", ["/a/../b", "/nc"])
def test_a_promised_body_that_never_comes(guarded, origin, target):
    wish = [("Cache-Control", "only-if-cached"), ("Content-Length", "10000000000")]
    with guarded.send(request("GET", target, wish)) as wire:
        assert wire.read().status >= 400
        assert wire.end(timeout=10) in ("closed", "reset")
    assert origin.received() == b""


def test_expect_is_answered_once_and_never_forwarded(guarded, origin):
    with guarded.send(request("POST", "/x", [("Expect", "100-continue"), ("Content-Length", "3")])) as wire:
        assert wire._one_head().status == 100
        wire.send(b"abc")
        answer = wire.read()
    assert (answer.status, answer.informational) == (200, [])
    assert (origin.hit().body, origin.hit().header("expect")) == (b"abc", None)


@pytest.mark.parametrize("value", ["100-Continue", "100-CONTINUE"])
def test_expect_in_any_case(guarded, origin, value):
    with guarded.send(request("POST", "/x", [("Expect", value)], b"abc")) as wire:
        assert wire.read().status == 200
    assert origin.hit().header("expect") is None


@pytest.mark.parametrize("value", ["200-ok", "100-continue, x", "x", "100-continue; a=b"])
def test_unknown_expectations(guarded, origin, value):
    with guarded.send(request("POST", "/x", [("Expect", value)], b"abc")) as wire:
        assert wire.read().status == 417
    assert origin.received() == b""


@pytest.mark.parametrize("how", ["close", "half-close", "reset-by-unread"])
@pytest.mark.parametrize("framing", ["length", "chunked", "chunked-before-last"])
def test_a_body_cut_short_never_completes_upstream(guarded, origin, framing, how):
    lines = {"length": b"Content-Length: 10\r\n\r\n0123"}
    chunked = b"Transfer-Encoding: chunked\r\n\r\n"
    lines |= {"chunked": chunked + b"a\r\n0123", "chunked-before-last": chunked + b"4\r\n0123\r\n"}
    origin.on("/x").reply(200, b"never")
    with guarded.send(b"PUT /x HTTP/1.1\r\nHost: a\r\n" + lines[framing]) as wire:
        if how == "half-close":
            wire.half_close()
            try:
                assert wire.read().status >= 400
            except BadAnswerError:
                assert wire.ending != "open"
    guarded.get("/after")
    origin.wait_for("/after")
    for hit in origin.hits("/x"):
        assert hit.gone.wait(5)
        assert not hit.complete
    assert origin.count("/x") <= 1


@pytest.mark.parametrize(
    "connection",
    [
        "authorization",
        "Authorization, close",
        "host",
        "via, x-request-id",
        "content-length",
        "transfer-encoding",
        "*",
    ],
)
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_connection_takes_nothing_of_ours_away(guarded, origin, connection, framing):
    if framing == "length":
        raw = request("POST", "/x", [("Connection", connection)], SMUGGLED)
    else:
        fields = [("Connection", connection), ("Transfer-Encoding", "chunked")]
        raw = request("POST", "/x", fields) + b"%x\r\n%s\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)
    found = answers(guarded, raw, most=1)
    if found[0].status == 400:
        assert origin.received() == b""
        return
    hit = origin.hit()
    assert hit.headers("authorization") == [f"Bearer {TOKEN}"]
    assert hit.headers("host") == [origin.authority]
    assert len(hit.headers("via")) == len(hit.headers("x-request-id")) == 1
    assert len(hit.headers("content-length")) + len(hit.headers("transfer-encoding")) == 1
    assert hit.body == SMUGGLED


def test_compressed_uploads_stay_compressed(guarded, origin):
    """The server side of the library inflates by default: 40 KiB became 40 MiB."""
    packed = gzip.compress(b"0" * 20_000_000)
    before = guarded.rss()
    assert guarded.ask("POST", "/x", [("Content-Encoding", "gzip")], packed).status == 200
    assert origin.hit().body == packed
    assert guarded.rss() - before < 15_000_000
