"""Do bodies flow through as they come, whole or visibly broken, in bounded memory?"""

from __future__ import annotations

import time

import pytest

from tests.origin import Gate, chunk
from tests.wire import request

MIB = 1024 * 1024
FRESH = [("Cache-Control", "max-age=60")]


@pytest.fixture
def caching(leeward, origin):
    return leeward({"upstreams": {"api": {"base_url": origin.url, "prefix": "/"}}})


def test_sse_comes_event_by_event(proxy, origin):
    gates = [Gate(), Gate()]
    events = [b"data: 1\n\n", b"event: two\ndata: 2\n\n", b"data: 3\n\n"]
    origin.on("/sse").sse(events[0], gates[0], events[1], gates[1], events[2])
    with proxy.send(request("GET", "/sse")) as wire:
        answer = wire.read_head()
        assert answer.header("Content-Type") == "text/event-stream"
        seen = b""
        for event, gate in zip(events, [*gates, None], strict=True):
            seen += event
            wire.read_body(answer, len(seen))
            assert answer.body == seen
            if gate is not None:
                gate.open()
        wire.read_body(answer)
    assert answer.complete
    assert answer.body == b"".join(events)


@pytest.mark.parametrize("kind", ["length", "chunked", "close"])
def test_a_piece_arrives_while_the_next_is_held_back(proxy, origin, kind):
    gate = Gate()
    if kind == "length":
        origin.on("/p").raw(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nabcd", gate, b"efgh")
    elif kind == "chunked":
        origin.on("/p").chunked(b"abcd", gate, b"efgh")
    else:
        origin.on("/p").raw(b"HTTP/1.1 200 OK\r\n\r\nabcd", gate, b"efgh", then="close")
    with proxy.send(request("GET", "/p")) as wire:
        answer = wire.read_head()
        assert wire.read_body(answer, 4).body == b"abcd"
        gate.open()
        assert wire.read_body(answer).body == b"abcdefgh"
    assert answer.complete
    assert answer.framing == ("length" if kind == "length" else "chunked")


@pytest.mark.parametrize(("framing", "first"), [("chunked", 3), ("length", 100_000), ("length", 3_000_000)])
def test_an_upload_streams(proxy, origin, framing, first):
    """The upstream sees the first part while the caller still holds the second back.

    What announces 64 KiB or less may be gathered first; what announces nothing may not.
    """
    line = "Transfer-Encoding: chunked" if framing == "chunked" else f"Content-Length: {first + 3}"
    parts = [b"a" * first, b"def"]
    if framing == "chunked":
        parts = [chunk(parts[0]), chunk(parts[1]) + b"0\r\n\r\n"]
    with proxy.send(f"POST /up HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n".encode() + parts[0]) as wire:
        hit = origin.wait_for("/up", timeout=5)[0]
        limit = time.monotonic() + 5
        while hit.size < first and time.monotonic() < limit:
            time.sleep(0.01)
        assert (hit.size, hit.complete) == (first, False)
        wire.send(parts[1])
        assert wire.read().status == 200
    assert (hit.size, hit.complete) == (first + 3, True)


@pytest.fixture
def roomy(leeward, origin):
    upstream = {"base_url": origin.url, "prefix": "/", "timeout": {"total": "60s"}}
    return leeward({"server": {"max_request_body": "256MiB"}, "upstreams": {"api": upstream}}, fresh=True)


@pytest.mark.parametrize("headers", [[], FRESH], ids=["uncacheable", "cacheable"])
def test_200_mib_down_in_bounded_memory(roomy, origin, headers):
    size = 200 * MIB
    origin.on("/down").flood(size, headers)
    roomy.get("/warm")
    before = peak = roomy.rss()
    with roomy.send(request("GET", "/down")) as wire:
        answer = wire.read_head()
        assert answer.header("Content-Length") == str(size)
        count = len(wire.buffer)
        wire.buffer.clear()
        seen = 0
        while wire._fill():
            count += len(wire.buffer)
            wire.buffer.clear()
            if count // (8 * MIB) > seen:
                seen = count // (8 * MIB)
                peak = max(peak, roomy.rss())
            if count >= size:
                break
    assert count == size
    assert peak - before < 40 * MIB


def test_200_mib_up_in_bounded_memory(roomy, origin):
    size = 200 * MIB
    origin.on("/up").reply(200, b"thanks")
    roomy.get("/warm")
    before = peak = roomy.rss()
    piece = b"u" * MIB
    with roomy.send(f"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n".encode()) as wire:
        for number in range(size // len(piece)):
            wire.send(piece)
            if number % 8 == 0:
                peak = max(peak, roomy.rss())
        answer = wire.read()
    assert (answer.status, answer.body) == (200, b"thanks")
    assert origin.hit("/up").size == size
    assert peak - before < 40 * MIB


def test_a_slow_reader_holds_the_upstream_back(roomy, origin):
    origin.on("/down").flood(200 * MIB)
    roomy.get("/warm")
    before = roomy.rss()
    with roomy.send(request("GET", "/down")) as wire:
        wire.read_head()
        peak = before
        for _ in range(20):
            time.sleep(0.05)
            peak = max(peak, roomy.rss())
    assert peak - before < 12 * MIB
    assert origin.hit("/down").gone.wait(5)


@pytest.mark.parametrize("step", ["silent", "mid-stream"])
def test_a_caller_who_leaves_takes_the_upstream_call_along(proxy, origin, step):
    if step == "silent":
        origin.on("/x").never()
    else:
        origin.on("/x").chunked(b"first", Gate(), b"second")
    with proxy.send(request("GET", "/x")) as wire:
        hit = origin.wait_for("/x")[0]
        if step == "mid-stream":
            wire.read_body(wire.read_head(), 5)
    assert hit.gone.wait(2)
    assert origin.count("/x") == 1


def test_a_caller_who_leaves_during_the_wait_ends_the_attempts(leeward, origin):
    upstream = {"base_url": origin.url, "prefix": "/", "cache": {"enabled": False}}
    proxy = leeward({"upstreams": {"api": upstream}}, fresh=True)
    origin.on("/x").reply(503, headers=[("Retry-After", "1")])
    with proxy.send(request("GET", "/x")):
        origin.wait_for("/x")
    proxy.get("/y")
    time.sleep(1.3)  # the retry that must not come would have come by now
    assert origin.count("/x") == 1


CUTS = {
    "length": lambda script: script.cut(b"0123456789", 4, FRESH),
    "length-by-reset": lambda script: script.cut(b"0123456789", 4, FRESH, then="reset"),
    "length-before-the-first-byte": lambda script: script.cut(b"0123456789", 0, FRESH),
    "chunked-between-chunks": lambda script: script.chunked(b"0123", headers=FRESH, last=False),
    "chunked-in-a-chunk": lambda script: script.raw(
        b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n0123",
        then="close",
    ),
    "chunked-after-the-last-size": lambda script: script.raw(
        b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n"
        + chunk(b"0123")
        + b"0\r\n",
        then="close",
    ),
    "chunked-bad-size": lambda script: script.raw(
        b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n"
        + chunk(b"0123")
        + b"zz\r\n89\r\n0\r\n\r\n",
        then="close",
    ),
    "until-close-by-reset": lambda script: script.raw(
        b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n\r\n0123", then="reset"
    ),
}


@pytest.mark.parametrize("name", CUTS)
@pytest.mark.parametrize("cached", [True, False], ids=["caching", "plain"])
def test_a_cut_answer_is_cut_to_the_caller_and_never_stored(caching, proxy, origin, name, cached):
    path = f"/cut/{name}"
    CUTS[name](origin.on(path)).reply(200, b"whole", FRESH)
    through = caching if cached else proxy
    answer = through.get(path)
    assert (answer.status, answer.complete) in [(200, False), (502, True)]
    if answer.status == 502:
        assert answer.code == "bad_upstream_response"
    else:
        assert answer.body in (b"0123", b"")
    assert through.get(path).body == b"whole"
    assert origin.count(path) == 2


def test_a_held_cut_reaches_the_caller_as_a_cut(proxy, origin):
    """The first bytes are surely out before the upstream breaks off: the connection has to show it."""
    gate = Gate()
    origin.on("/x").raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123", gate, then="close")
    with proxy.send(request("GET", "/x")) as wire:
        answer = wire.read_head()
        assert wire.read_body(answer, 4).body == b"0123"
        gate.open()
        wire.read_body(answer)
    assert not answer.complete
    assert wire.ending in ("closed", "reset")
    assert origin.count("/x") == 1


def test_an_answer_until_close_is_whole(proxy, origin):
    origin.on("/x").raw(b"HTTP/1.1 200 OK\r\n\r\nall of it", then="close")
    answer = proxy.get("/x")
    assert (answer.body, answer.complete) == (b"all of it", True)


def test_a_stall_in_mid_body_has_an_end(leeward, origin):
    upstream = {"base_url": origin.url, "prefix": "/", "timeout": {"idle": "300ms"}}
    proxy = leeward({"upstreams": {"api": upstream}})
    origin.on("/x").chunked(b"first", Gate(), b"second")
    answer = proxy.get("/x")
    assert (answer.status, answer.complete, answer.body) == (200, False, b"first")
    assert origin.hit("/x").gone.wait(2)
