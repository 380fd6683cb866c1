"""Does every failure of the proxy's own come with its code, its status and a Proxy-Status?"""

from __future__ import annotations

import pytest

from tests.origin import closed_port
from tests.wire import request

DEAD = f"http://127.0.0.1:{closed_port()}"


@pytest.fixture
def proxy(leeward, origin):
    once = {"attempts": 1}
    return leeward(
        {
            "server": {"max_request_body": "1KiB"},
            "upstreams": {
                "api": {"base_url": origin.url, "retry": once, "cache": {"enabled": False}},
                "slow": {"base_url": origin.url, "retry": once, "timeout": {"attempt": "200ms"}},
                "late": {"base_url": origin.url, "timeout": {"total": "200ms"}},
                "dead": {"base_url": DEAD, "retry": once},
                "lost": {"base_url": "http://no-such-host.invalid", "retry": once},
                "plain": {"base_url": origin.url, "errors": "annotate"},
            },
        }
    )


def check(answer, status: int, code: str, proxy_status: str | None = None) -> None:
    assert (answer.status, answer.code) == (status, code)
    document = answer.problem
    assert document["type"] == "urn:problem-type:leeward:" + code.replace("_", "-")
    assert document["title"]
    assert document["detail"]
    assert document["request_id"] == answer.header("X-Request-Id")
    assert "original" not in document
    assert isinstance(document["retryable"], bool)
    stated = answer.header("Proxy-Status") or ""
    assert stated.startswith("leeward; error=" + (proxy_status or ""))


@pytest.mark.parametrize("mode", ["", "plain"])
@pytest.mark.parametrize("path", ["/", "/nowhere/x", "/apix", "/API/x", "/ap"])
def test_no_route(proxy, origin, path, mode):
    check(proxy.get(path), 404, "no_route", "destination_not_found")
    assert origin.received() == b""


def test_connect_failed(proxy):
    check(proxy.get("/dead/x"), 502, "connect_failed")


def test_connect_failed_for_a_name_that_is_none(proxy):
    check(proxy.get("/lost/x"), 502, "connect_failed")


def test_upstream_timeout(proxy, origin):
    origin.on("/x").never()
    check(proxy.get("/slow/x"), 504, "upstream_timeout", "http_response_timeout")


def test_deadline_exceeded(proxy, origin):
    origin.on("/x").never()
    check(proxy.get("/late/x"), 504, "deadline_exceeded")


def test_bad_upstream_response(proxy, origin):
    origin.on("/x").drop()
    check(proxy.get("/api/x"), 502, "bad_upstream_response")


def test_payload_too_large_by_length(proxy, origin):
    with proxy.send(b"POST /api/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1025\r\n\r\n") as wire:
        check(wire.read(), 413, "payload_too_large")
        wire.send(b"z" * 1025)
    assert origin.received() == b""


def test_the_largest_payload_passes(proxy, origin):
    assert proxy.post("/api/x", b"z" * 1024).status == 200
    assert origin.hit("/x").body == b"z" * 1024


def test_payload_too_large_in_chunks(proxy, origin):
    start = b"POST /api/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    with proxy.send(start, b"400\r\n" + b"z" * 1024 + b"\r\n", b"1\r\nz\r\n", b"0\r\n\r\n") as wire:
        check(wire.read(), 413, "payload_too_large")
    assert proxy.get("/api/after").status == 200
    assert not any(h.complete for h in origin.hits("/x"))


def test_payload_too_large_with_expect(proxy, origin):
    start = b"POST /api/x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 99999\r\n\r\n"
    with proxy.send(start) as wire:
        answer = wire.read()
        check(answer, 413, "payload_too_large")
        assert answer.informational == []
    assert origin.received() == b""


def test_bad_request(proxy, origin):
    check(proxy.get("/api/../x"), 400, "bad_request")
    assert origin.received() == b""


def test_not_cached(proxy, origin):
    check(proxy.get("/plain/x", ("Cache-Control", "only-if-cached")), 504, "not_cached")
    assert origin.received() == b""


def test_own_failures_are_documents_in_annotate_mode_too(proxy, origin):
    origin.on("/x").drop()
    check(proxy.get("/plain/x"), 502, "bad_upstream_response")


def test_head_gets_no_body(proxy):
    answer = proxy.ask("HEAD", "/dead/x")
    assert (answer.status, answer.body, answer.header("Leeward-Error")) == (502, b"", "connect_failed")


def test_the_connection_serves_on_after_a_failure(proxy, origin):
    with proxy.send(request("GET", "/nowhere")) as wire:
        assert wire.read().status == 404
        wire.send(request("GET", "/dead/x"))
        assert wire.read().status == 502
        wire.send(request("GET", "/api/x"))
        assert wire.read().status == 200


def test_a_failure_is_never_shown_as_a_trace(proxy, origin):
    origin.on("/x").raw(b"\x00\x01garbage\r\n\r\n", then="close")
    for path in ("/api/x", "/nowhere", "/dead/x"):
        body = proxy.get(path).body
        assert b"Traceback" not in body
        assert b".py" not in body
    with proxy.send(b"\x00\r\n\r\n") as wire:
        assert b"aiohttp" not in wire.read().raw_head
