"""Does the program leave politely, and at once when told twice?"""

from __future__ import annotations

import signal
import time

import pytest

from tests.origin import PATIENCE, Gate
from tests.wire import BadAnswerError, request


@pytest.fixture
def start(leeward, origin):
    def started(**server):
        upstream = {"base_url": origin.url, "prefix": "/", "cache": {"enabled": False}}
        return leeward({"server": server, "upstreams": {"api": upstream}}, fresh=True)

    return started


def until_not_ready(proxy) -> None:
    limit = time.monotonic() + PATIENCE
    while proxy.admin_ask("GET", "/readyz").status != 503:
        assert time.monotonic() < limit, "/readyz never said 503"
        time.sleep(0.01)


def test_ready_until_told(start):
    proxy = start()
    assert proxy.admin_ask("GET", "/readyz").status == 200
    assert proxy.admin_ask("GET", "/healthz").status == 200
    assert proxy.stop() == 0
    assert "Traceback" not in proxy.stderr


def test_a_stream_under_way_finishes(start, origin):
    proxy, gate = start(), Gate()
    origin.on("/s").chunked(b"first", gate, b"second")
    with proxy.send(request("GET", "/s")) as wire:
        answer = wire.read_head()
        wire.read_body(answer, 5)
        proxy.signal()
        until_not_ready(proxy)
        assert proxy.admin_ask("GET", "/healthz").status == 200
        assert proxy.process.poll() is None
        gate.open()
        wire.read_body(answer)
    assert (answer.body, answer.complete) == (b"firstsecond", True)
    assert proxy.wait() == 0
    assert "Traceback" not in proxy.stderr


def test_a_call_that_waits_for_its_answer_finishes(start, origin):
    proxy, gate = start(), Gate()
    origin.on("/s").reply(200, b"late", gate=gate)
    with proxy.send(request("GET", "/s")) as wire:
        origin.wait_for("/s")
        proxy.signal()
        until_not_ready(proxy)
        gate.open()
        answer = wire.read()
    assert (answer.status, answer.body) == (200, b"late")
    assert answer.header("Connection") == "close"
    assert proxy.wait() == 0


def test_a_kept_connection_is_served_and_closed_while_draining(start, origin):
    proxy, gate = start(), Gate()
    origin.on("/s").chunked(b"first", gate, b"second")
    with proxy.send(request("GET", "/s")) as stream, proxy.send(request("GET", "/a")) as kept:
        head = stream.read_head()
        assert kept.read().status == 200
        proxy.signal()
        until_not_ready(proxy)
        kept.send(request("GET", "/b"))
        try:
            assert kept.read().header("Connection") == "close"
        except BadAnswerError:
            assert kept.ending != "open"  # an idle connection may as well have been closed
        gate.open()
        assert stream.read_body(head).complete
    assert proxy.wait() == 0


def test_a_second_signal_ends_now(start, origin):
    proxy, gate = start(drain_timeout="60s"), Gate()
    origin.on("/s").chunked(b"first", gate, b"second")
    with proxy.send(request("GET", "/s")) as wire:
        answer = wire.read_head()
        wire.read_body(answer, 5)
        proxy.signal()
        until_not_ready(proxy)
        proxy.signal()
        proxy.wait(5)
        wire.read_body(answer)
    assert not answer.complete


def test_the_drain_has_an_end(start, origin):
    proxy, gate = start(drain_timeout="500ms"), Gate()
    origin.on("/s").chunked(b"first", gate, b"second")
    with proxy.send(request("GET", "/s")) as wire:
        answer = wire.read_head()
        wire.read_body(answer, 5)
        proxy.signal()
        proxy.wait(10)
        wire.read_body(answer)
    assert not answer.complete


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_idle_connections_hold_nothing_up(start, number):
    proxy = start(drain_timeout="60s")
    with proxy.send(request("GET", "/a")) as wire, proxy.wire() as silent:
        assert wire.read().status == 200
        proxy.signal(number)
        assert proxy.wait(8) in ((0,) if number == signal.SIGTERM else (0, 130))
        assert silent.end() in ("closed", "reset")
    assert "Traceback" not in proxy.stderr
