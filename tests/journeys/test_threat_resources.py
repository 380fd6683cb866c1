"""Can a caller that is slow, greedy or many keep the proxy from others? It is reaped, and they are served."""

from __future__ import annotations

import contextlib
import time

import pytest

from tests.journeys.conftest import refused
from tests.wire import request


def dripped(wire, pieces, seconds: float, most: float) -> bool:
    """Writes piece after piece; did the peer end it before `most` seconds?"""
    limit = time.monotonic() + most
    waiting = iter(pieces)
    wire.sock.settimeout(seconds)
    while time.monotonic() < limit:
        try:
            wire.sock.sendall(next(waiting, b""))
            if not wire.sock.recv(4096):
                return True
        except TimeoutError:
            continue
        except OSError:
            return True
    return False


SLOW_HEADS = {
    "silent": [b""],
    "one-byte": [b"G"],
    "half-a-line": [b"GET /x HT"],
    "half-a-head": [b"GET /x HTTP/1.1\r\nHost: a\r\n"],
    "a-byte-at-a-time": [bytes([c]) for c in b"GET /" + b"x" * 200],
    "a-field-at-a-time": [b"GET /x HTTP/1.1\r\nHost: a\r\n", *[b"X-%d: 1\r\n" % n for n in range(90)]],
    "empty-lines": [b"\r\n"] * 200,
}


@pytest.mark.parametrize("name", SLOW_HEADS)
def test_slow_heads_are_reaped(guarded, origin, name):
    """header_timeout is 1 s here; a drip does not prolong it. A silent connection has idle_timeout."""
    pieces = SLOW_HEADS[name]
    with guarded.wire() as wire:
        assert dripped(wire, pieces, 0.1, 6.0) or name == "silent"
    assert origin.received() == b""


def test_a_second_slow_head_on_a_kept_connection(guarded):
    with guarded.send(request("GET", "/x")) as wire:
        assert wire.read().status == 200
        assert dripped(wire, [b"GET /y HTTP/1.1\r\n", *[b"X: 1\r\n"] * 80], 0.1, 6.0)


@pytest.mark.parametrize("begun", [b"G", b"GET /y HTTP/1.1\r\nHost: a\r\n"])
def test_a_head_that_began_behind_another_request(guarded, begun):
    with guarded.send(request("GET", "/x") + begun) as wire:
        assert wire.read().status == 200
        assert dripped(wire, [], 0.1, 6.0)


def test_idle_connections_are_reaped(leeward, origin):
    proxy = leeward(
        {
            "server": {"idle_timeout": "500ms", "header_timeout": "500ms"},
            "upstreams": {"api": {"base_url": origin.url, "prefix": "/"}},
        }
    )
    with proxy.wire() as silent, proxy.send(request("GET", "/x")) as kept:
        assert kept.read().status == 200
        assert kept.end(timeout=5) in ("closed", "reset")
        assert silent.end(timeout=5) in ("closed", "reset")


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_slow_bodies_are_reaped(guarded, origin, framing):
    line = b"Content-Length: 1000000" if framing == "length" else b"Transfer-Encoding: chunked"
    part = b"z" if framing == "length" else b"1\r\nz\r\n"
    with guarded.send(b"POST /x HTTP/1.1\r\nHost: a\r\n" + line + b"\r\n\r\n" + part) as wire:
        with contextlib.suppress(AssertionError):
            answer = wire.read()
            assert answer.status in (400, 408, 502, 504)
        assert wire.end(timeout=15) in ("closed", "reset")
    assert not any(h.complete for h in origin.hits())


def test_honest_callers_are_served_among_slow_ones(guarded, origin):
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(guarded.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n"))
        for _ in range(20):
            assert guarded.get("/x").status == 200


def test_many_slow_readers(guarded, origin):
    origin.on("/big").flood(5_000_000)
    before = guarded.rss()
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(guarded.send(request("GET", "/big", [("Cache-Control", "no-store")])))
        for _ in range(20):
            assert guarded.get("/x").status == 200
            time.sleep(0.02)
        assert guarded.rss() - before < 20 * 1_500_000 + 15_000_000


def test_500_pipelined_requests(guarded, origin):
    origin.on("*").raw(
        lambda h: b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(h.target), h.target.encode())
    )
    with guarded.wire() as wire:
        wire.send(b"".join(request("GET", f"/p{n}") for n in range(500)))
        for number in range(500):
            answer = wire.read()
            assert (answer.status, answer.body) == (200, f"/p{number}".encode())
    assert [h.target for h in origin.hits()] == [f"/p{n}" for n in range(500)]


def test_pipelined_requests_of_a_caller_who_left_are_not_all_sent(guarded, origin):
    with guarded.wire() as wire:
        origin.on("/first").never()
        wire.send(
            request("POST", "/first", body=b""),
            b"".join(request("POST", f"/p{n}", body=b"") for n in range(100)),
        )
        origin.wait_for("/first")
    assert origin.hit("/first").gone.wait(3)
    guarded.get("/after")
    assert origin.count() < 10


LARGE = {
    "one-field": b"X: " + b"x" * 17_000 + b"\r\n",
    "many-bytes": b"".join(b"X-%d: %s\r\n" % (n, b"x" * 300) for n in range(60)),
    "many-fields": b"".join(b"X-%d: 1\r\n" % n for n in range(120)),
    "very-many-fields": b"".join(b"X-%d: 1\r\n" % n for n in range(10_000)),
    "a-megabyte": b"X: " + b"x" * 1_000_000 + b"\r\n",
    "long-name": b"x" * 17_000 + b": 1\r\n",
}


@pytest.mark.parametrize("name", LARGE)
def test_a_head_over_16_kib_or_100_fields(guarded, origin, name):
    refused(guarded, b"GET /x HTTP/1.1\r\nHost: a\r\n" + LARGE[name] + b"\r\n", (400, 431))
    assert origin.received() == b""


def test_a_head_within_the_bounds(guarded, origin):
    assert guarded.get("/x", *[(f"X-{n}", "x" * 140) for n in range(95)]).status == 200
    assert guarded.get("/x", ("X", "x" * 15_000)).status == 200
    assert origin.count("/x") == 2


def test_an_endless_head_is_cut_off(guarded, origin):
    with guarded.send(b"GET /x HTTP/1.1\r\nHost: a\r\n") as wire:
        sent = 0
        with contextlib.suppress(OSError):
            for _ in range(500):
                wire.sock.sendall(b"X: " + b"x" * 100_000 + b"\r\n")
                sent += 100_000
    assert sent < 30_000_000
    assert origin.received() == b""


def test_refusing_costs_no_memory(guarded):
    before = guarded.rss()
    for number in range(300):
        guarded.send(b"BROKEN %d\r\n\r\n" % number).sock.close()
        guarded.ask("GET", f"/../{number}")
    assert guarded.rss() - before < 10_000_000


def test_without_the_c_parser_it_does_not_start(leeward, origin):
    with pytest.raises(AssertionError, match="not ready, exit status 1") as refusal:
        leeward(
            {"upstreams": {"api": {"base_url": origin.url}}}, fresh=True, env={"AIOHTTP_NO_EXTENSIONS": "1"}
        )
    assert "Traceback" not in str(refusal.value)
