"""Do the bench's own two ends, the scripted origin and the raw client, speak to each other?"""

from __future__ import annotations

import socket

import pytest

from tests.origin import KEPT, Gate, Origin, chunk, closed_port
from tests.wire import BadAnswerError, Wire, ask, request


def address(origin: Origin):
    return ("127.0.0.1", origin.port)


def test_steps_follow_each_other_and_the_last_repeats(origin: Origin):
    origin.on("/x").reply(503).reply(200, b"ok", [("A", "1"), ("a", "2")])
    assert [ask(address(origin), "GET", "/x?q").status for _ in range(4)] == [503, 200, 200, 200]
    assert origin.count("/x") == 4
    assert ask(address(origin), "GET", "/x").headers("A") == ["1", "2"]


def test_requests_are_kept_to_the_byte(origin: Origin):
    sent = b"POST /p HTTP/1.1\r\nX: 1\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"abc") + b"0\r\n\r\n"
    with Wire(address(origin)) as wire:
        assert wire.send(sent).read().status == 200
    assert origin.received() == sent
    hit = origin.hit("/p")
    assert (hit.body, hit.complete, hit.raw_body) == (b"abc", True, sent[sent.index(b"\r\n\r\n") + 4 :])


def test_a_gate_holds_the_answer_back(origin: Origin):
    gate = Gate()
    origin.on("/g").sse(b"data: 1\n\n", gate, b"data: 2\n\n")
    with Wire(address(origin)) as wire:
        answer = wire.send(request("GET", "/g")).read_head()
        assert wire.read_body(answer, 9).body == b"data: 1\n\n"
        gate.open()
        assert wire.read_body(answer).body == b"data: 1\n\ndata: 2\n\n"
        assert answer.complete


@pytest.mark.parametrize("script", ["cut", "chunked"])
def test_a_cut_is_seen(origin: Origin, script: str):
    if script == "cut":
        origin.on("/c").cut(b"0123456789", 4)
    else:
        origin.on("/c").chunked(b"0123", last=False)
    answer = ask(address(origin), "GET", "/c")
    assert (answer.body, answer.complete) == (b"0123", False)


def test_drop_reset_and_silence(origin: Origin):
    origin.on("/d").drop()
    origin.on("/r").reset()
    origin.on("/n").never()
    for path, ending in (("/d", "closed"), ("/r", "reset")):
        with Wire(address(origin)) as wire:
            with pytest.raises(BadAnswerError):
                wire.send(request("GET", path)).read()
            assert wire.ending == ending
    with Wire(address(origin)) as wire:
        wire.send(request("GET", "/n"))
        assert wire.end(0.05) == "open"
    assert origin.hit("/n").gone.wait(2)


def test_a_flood_is_counted(origin: Origin):
    origin.on("/f").flood(KEPT + 3)
    assert len(ask(address(origin), "GET", "/f").body) == KEPT + 3


def test_loopback_only():
    with socket.socket() as sock, pytest.raises(AssertionError, match="loopback"):
        sock.connect(("192.0.2.1", 80))
    with socket.socket() as sock, pytest.raises(ConnectionRefusedError):
        sock.connect(("127.0.0.1", closed_port()))


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\na",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA : 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc",
    ],
)
def test_the_client_forgives_nothing(origin: Origin, answer: bytes):
    origin.on("/bad").raw(answer, then="close")
    with pytest.raises(BadAnswerError):
        ask(address(origin), "GET", "/bad")
