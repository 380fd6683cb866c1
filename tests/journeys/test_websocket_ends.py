"""How long is a WebSocket open, what holds its sides back, and what is told of it?"""

from __future__ import annotations

import json
import select
import signal

import pytest

from tests.conftest import Start
from tests.journeys.conftest import TOKEN
from tests.origin import PATIENCE
from tests.websocket import (
    BINARY,
    CLOSE,
    PING,
    TEXT,
    Calling,
    Frame,
    Upstream,
    close,
    opened,
    until,
)

SECRET = "my-own-token-77"


def test_silence_ends_with_1001_on_both_sides_and_a_ping_is_none(start: Start, upstream: Upstream) -> None:
    both = opened(start(timeout={"idle": "2s"}), upstream)
    for _ in range(4):
        assert not select.select([both.caller.sock], [], [], 0.7)[0]
        both.upstream.send(PING)
        assert both.caller.got() == (PING, b"")
    for end in (both.caller, both.upstream):
        assert end.got() == (CLOSE, close(1001, b"idle"))
        end.send(CLOSE, close(1001))
    assert [both.caller.end(), both.upstream.end()] == ["closed", "closed"]


@pytest.mark.parametrize("upwards", [True, False])
def test_a_slow_reader_stops_the_sender(
    start: Start,
    upstream: Upstream,
    upwards: bool,
) -> None:
    proxy = start()
    both = opened(proxy, upstream)
    first, second = both.ends(upwards=upwards)
    before = proxy.rss()
    piece = Frame(BINARY, b"x" * 65536, mask=b"abcd" if upwards else None).raw()
    first.sock.setblocking(False)
    sent, quiet = 0, 0
    rest = b""
    while quiet < 5:
        rest = rest or piece
        if not select.select([], [first.sock], [], 0.1)[1]:
            quiet += 1
            continue
        quiet = 0
        taken = first.sock.send(rest)
        rest, sent = rest[taken:], sent + taken
        assert sent < 64 * 1024 * 1024, "nothing holds the sender back"
    assert proxy.rss() - before < 8 * 1024 * 1024
    got = 0
    first.sock.settimeout(PATIENCE)
    second.sock.settimeout(PATIENCE)
    while got < sent:
        got += len(second.sock.recv(1 << 20))
    assert got == sent
    first.sock.sendall(rest)
    assert second.exactly(len(rest)) == rest
    both.part()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_process_that_stops_says_1001_and_waits_for_the_answers(
    start: Start, upstream: Upstream, workers: int
) -> None:
    proxy = start(fresh=True, server={"workers": workers, "drain_timeout": "60s"})
    pairs = [opened(proxy, upstream) for _ in range(3)]
    proxy.signal()
    for both in pairs:
        for end in (both.caller, both.upstream):
            assert end.read().code == 1001
    assert proxy.process.poll() is None
    assert proxy.admin_ask("GET", "/readyz").status == 503
    for both in pairs:
        for end in (both.caller, both.upstream):
            end.send(CLOSE, close(1001))
        assert [both.caller.end(), both.upstream.end()] == ["closed", "closed"]
    assert proxy.wait(10) == 0
    assert "Traceback" not in proxy.stderr


def test_an_end_that_never_answers_holds_nothing_up(start: Start, upstream: Upstream) -> None:
    proxy = start(fresh=True, server={"drain_timeout": "300ms"})
    both = opened(proxy, upstream)
    proxy.signal(signal.SIGTERM)
    assert proxy.wait(5) == 0
    assert both.caller.read().code == 1001
    assert both.caller.end() in ("closed", "reset")


def test_it_is_one_request_in_figures_limits_and_log(start: Start, upstream: Upstream) -> None:
    proxy = start(fresh=True, concurrency={"max": 1, "max_queue": 0})
    both = opened(proxy, upstream, ("Sec-WebSocket-Protocol", f"x, key.{SECRET}"))
    both.caller.send(TEXT, b"the-words-of-the-caller")
    both.upstream.read()
    assert proxy.metric("leeward_inflight_requests", upstream="api") == 1
    assert proxy.metric("leeward_requests_total", upstream="api") == 0
    assert Calling(proxy.address, "/ws").answer().code == "overloaded"
    both.part()
    until(lambda: proxy.metric("leeward_inflight_requests", upstream="api") == 0)
    assert proxy.metric("leeward_requests_total", code="101", method="GET", cache="bypass") == 1
    assert proxy.metric("leeward_upstream_attempts_total", outcome="1xx") == 1
    opened(proxy, upstream).part()
    proxy.stop()
    lines = [line for line in proxy.log_lines() if line.get("status") == 101]
    assert len(lines) == 2
    assert lines[0]["bytes_in"] == 2 + 4 + 23 + 2 + 4 + 2
    assert lines[0]["ms"] >= lines[0]["first_byte_ms"]
    for said in (SECRET, TOKEN, "the-words-of-the-caller", "Traceback"):
        assert said not in proxy.stderr


def test_the_debug_log_hides_tokens_in_subprotocols(leeward: Start, upstream: Upstream) -> None:
    proxy = leeward(
        {"log": {"level": "debug"}, "upstreams": {"api": {"base_url": upstream.url, "prefix": "/"}}},
        fresh=True,
    )
    opened(proxy, upstream, ("Sec-WebSocket-Protocol", f"x, key.{SECRET}")).part()
    proxy.stop()
    assert "Sec-WebSocket-Protocol".lower() in proxy.stderr.lower()
    assert SECRET not in proxy.stderr
    assert json.loads(proxy.stderr.splitlines()[0])


def test_after_a_reload_what_is_open_stays_open(start: Start, upstream: Upstream) -> None:
    proxy = start(fresh=True)
    both = opened(proxy, upstream)
    assert (
        proxy.admin_ask("POST", "/api/v1/reload", [("Content-Type", "application/json")], b"{}").status == 200
    )
    both.caller.send(TEXT, b"still here")
    assert both.upstream.got() == (TEXT, b"still here")
    both.part()
