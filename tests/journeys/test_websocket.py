"""Does a WebSocket through the program look to both ends as if it were not there?"""

from __future__ import annotations

import os
import select
import socket
import struct
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.conftest import Start
from tests.journeys.conftest import TOKEN
from tests.origin import closed_port
from tests.websocket import (
    ASKED,
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Calling,
    Frame,
    Open,
    Peer,
    Upstream,
    close,
    opened,
    until,
)
from tests.wire import request

SECRET = "my-own-token-77"


@pytest.fixture
def pair(start: Start, upstream: Upstream) -> Iterator[Open]:
    pair = opened(start(), upstream)
    yield pair
    pair.part()


# The handshake


def test_the_handshake_has_our_credential_and_key_and_the_callers_subprotocols(
    start: Start, upstream: Upstream
) -> None:
    proxy = start()
    fields = [
        ("Authorization", f"Bearer {SECRET}"),
        ("Sec-WebSocket-Protocol", "realtime, openai-insecure-api-key.x,odd"),
        ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"),
        ("Origin", "http://localhost:3000"),
        ("X-Own", "kept"),
    ]
    agreed = [
        ("Sec-WebSocket-Protocol", "realtime"),
        ("Sec-WebSocket-Extensions", "permessage-deflate"),
        ("X-Theirs", "1"),
        ("X-Request-Id", "theirs"),
    ]
    both = opened(proxy, upstream, *fields, target="/v1/realtime?model=a%2Fb&x", agreed=agreed)
    asked, answer = both.asked, both.answer
    assert asked.line == "GET /v1/realtime?model=a%2Fb&x HTTP/1.1"
    assert asked.all("Authorization") == [f"Bearer {TOKEN}"]
    assert [asked.one(name) for name in ("Connection", "Upgrade", "Sec-WebSocket-Version")] == [
        "Upgrade", "websocket", "13",
    ]  # fmt: skip
    assert asked.one("Sec-WebSocket-Key") != dict(ASKED)["Sec-WebSocket-Key"]
    for name, value in fields[1:]:
        assert asked.all(name) == [value]
    assert asked.one("X-Set") == "here"
    assert answer.header("Sec-WebSocket-Protocol") == "realtime"
    assert answer.header("Sec-WebSocket-Extensions") == "permessage-deflate"
    assert answer.header("X-Theirs") == "1"
    assert answer.header("X-Request-Id") == asked.one("X-Request-Id")
    assert answer.header("Leeward-Upstream-Request-Id") == "theirs"
    assert answer.header("Cache-Status") == "leeward; fwd=bypass; fwd-status=101; detail=upgrade"
    assert answer.header("Via") == "1.1 leeward"
    both.part()


@pytest.mark.parametrize(
    ("auth", "found"),
    [
        ({"type": "header", "name": "X-Api-Key", "value": TOKEN}, ("X-Api-Key", TOKEN)),
        ({"type": "basic", "username": "u", "password": "p"}, ("Authorization", "Basic dTpw")),
        ({"type": "query", "name": "key", "value": TOKEN}, None),
    ],
    ids=["header", "basic", "query"],
)
def test_other_credentials_go_in_as_well(
    start: Start, upstream: Upstream, auth: dict[str, Any], found: tuple[str, str] | None
) -> None:
    both = opened(start(auth=auth), upstream, target="/ws?a=b")
    if found is None:
        assert both.asked.line == f"GET /ws?a=b&key={TOKEN} HTTP/1.1"
    else:
        assert both.asked.one(found[0]) == found[1]
    both.part()


def test_the_handshake_of_a_browser_that_keeps_alive(start: Start, upstream: Upstream) -> None:
    raw = request("GET", "/ws", ASKED).replace(b"Connection: Upgrade", b"Connection: keep-alive, Upgrade")
    with start().send(raw) as wire:
        peer, _ = upstream.grant()
        assert wire.read_head().status == 101
        peer.send(TEXT, b"hello")
        assert Peer(wire.sock, client=True, begun=bytes(wire.buffer)).got() == (TEXT, b"hello")


def test_two_handshakes_have_two_keys(start: Start, upstream: Upstream) -> None:
    first, second = opened(start(), upstream), opened(start(), upstream)
    assert first.asked.one("Sec-WebSocket-Key") != second.asked.one("Sec-WebSocket-Key")
    first.part()
    second.part()


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (b"401 No", "authentication"),
        (b"403 No", "permission_denied"),
        (b"404 No", "not_found"),
        (b"500 No", "server_error"),
    ],
)
def test_another_answer_than_101_is_an_answer_like_others(
    start: Start, upstream: Upstream, status: bytes, code: str
) -> None:
    calling = Calling(start().address, "/ws")
    upstream.refuse(status, body=b'{"why": 1}')
    answer = calling.answer()
    assert answer.code == code
    assert answer.problem["original"] == {"why": 1}
    assert calling.wire.end() in ("closed", "reset")


def test_an_answer_without_failure_passes_as_it_is(start: Start, upstream: Upstream) -> None:
    calling = Calling(start().address, "/ws")
    upstream.refuse(b"200 OK", ("Cache-Control", "max-age=60"), body=b"plain")
    assert calling.answer().body == b"plain"
    both = opened(start(), upstream)  # and was not stored
    both.part()


@pytest.mark.parametrize(
    "fields",
    [
        [("Upgrade", "websocket"), ("Connection", "Upgrade")],
        [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", "bm8=")],
        [("Upgrade", "h2c"), ("Connection", "Upgrade")],
        [("Connection", "Upgrade")],
        [],
    ],
)
def test_a_101_that_does_not_answer_our_key_is_none(
    start: Start, upstream: Upstream, fields: list[tuple[str, str]]
) -> None:
    calling = Calling(start().address, "/ws")
    sock, _ = upstream.asked()
    upstream.answer(sock, b"101 Switching Protocols", *fields, body=Frame(TEXT, b"evil").raw())
    answer = calling.answer()
    assert (answer.status, answer.code) == (502, "bad_upstream_response")
    assert b"evil" not in answer.body
    assert Peer(sock, client=False).end() in ("closed", "reset")
    assert upstream.untouched(), "it may have been a handshake for them"


def test_a_handshake_that_may_have_been_heard_is_not_repeated(start: Start, upstream: Upstream) -> None:
    calling = Calling(start().address, "/ws")
    sock, _ = upstream.asked()
    sock.close()
    assert (calling.answer().code, upstream.untouched()) == ("bad_upstream_response", True)


def test_a_handshake_that_was_not_sent_is_repeated(start: Start) -> None:
    retry = {"attempts": 2, "backoff": {"initial": "1ms", "max": "1ms"}}
    proxy = start(base_url=f"http://127.0.0.1:{closed_port()}", retry=retry)
    answer = Calling(proxy.address, "/ws").answer()
    assert (answer.code, answer.header("Leeward-Attempts")) == ("connect_failed", "2")


def test_a_refused_credential_is_replaced_once(start: Start, upstream: Upstream) -> None:
    proxy = start(auth={"type": "bearer", "token": ["first-key", "second-key"]})
    calling = Calling(proxy.address, "/ws")
    first = upstream.refuse(b"401 No")
    peer, second = upstream.grant()
    caller, answer = calling.opened()
    assert {first.one("Authorization"), second.one("Authorization")} == {
        "Bearer first-key", "Bearer second-key",
    }  # fmt: skip
    assert answer.header("Leeward-Attempts") == "2"
    Open(caller, peer, answer, second).part()


def test_a_handshake_without_an_answer_has_an_end(start: Start, upstream: Upstream) -> None:
    proxy = start(timeout={"attempt": "300ms"})
    calling = Calling(proxy.address, "/ws")
    sock, _ = upstream.asked()
    assert (calling.answer().code, upstream.untouched()) == ("upstream_timeout", True)
    sock.close()


def test_an_open_websocket_outlives_the_times_of_its_handshake(start: Start, upstream: Upstream) -> None:
    proxy = start(timeout={"connect": "200ms", "attempt": "200ms", "total": "300ms"})
    both = opened(proxy, upstream)
    assert not select.select([both.caller.sock, both.upstream.sock], [], [], 0.5)[0]
    both.caller.send(TEXT, b"still here")
    assert both.upstream.got() == (TEXT, b"still here")
    both.part()


# What passes


MESSAGES = [
    (TEXT, "Grüße".encode(), True),
    (BINARY, bytes(range(256)), True),
    (TEXT, b"a fragment", False),
    (PING, b"between", True),
    (CONTINUATION, b"", False),
    (CONTINUATION, b"the last", True),
    (PONG, b"nobody asked", True),
    (BINARY, b"", True),
    (BINARY, b"\0" * 300_000, True),
]


@pytest.mark.parametrize("upwards", [True, False])
def test_frames_arrive_byte_for_byte(pair: Open, upwards: bool) -> None:
    sender, receiver = pair.ends(upwards=upwards)
    for opcode, payload, fin in MESSAGES:
        raw = sender.send(opcode, payload, fin=fin)
        assert receiver.exactly(len(raw)) == raw


def test_compressed_frames_pass_where_both_ends_agreed(start: Start, upstream: Upstream) -> None:
    offer = ("Sec-WebSocket-Extensions", "permessage-deflate")
    both = opened(start(), upstream, offer, agreed=[offer])
    for upwards in (True, False):
        sender, receiver = both.ends(upwards=upwards)
        raw = sender.send(TEXT, b"\xf2\x48\xcd\xc9\xc9\x07\x00", rsv=4)
        assert receiver.exactly(len(raw)) == raw
    both.part()


def test_frames_behind_the_101_in_one_write(start: Start, upstream: Upstream) -> None:
    both = opened(start(), upstream, behind=Frame(TEXT, b"first").raw() + Frame(PING, b"second").raw())
    assert [both.caller.got(), both.caller.got()] == [(TEXT, b"first"), (PING, b"second")]
    both.part()


@pytest.mark.parametrize("upwards", [True, False])
@pytest.mark.parametrize("code", [None, 1000, 1001, 1008, 1011, 1014, 3000, 4999])
def test_a_close_keeps_its_code_and_reason(
    start: Start,
    upstream: Upstream,
    code: int | None,
    upwards: bool,
) -> None:
    both = opened(start(), upstream)
    first, second = both.ends(upwards=upwards)
    payload = close(code, b"why")
    first.send(CLOSE, payload)
    assert second.got() == (CLOSE, payload)
    second.send(CLOSE, close(code))
    assert first.got() == (CLOSE, close(code))
    assert [first.end(), second.end()] == ["closed", "closed"]


@pytest.mark.parametrize("upwards", [True, False])
def test_the_last_words_of_one_who_hangs_up_arrive(
    start: Start,
    upstream: Upstream,
    upwards: bool,
) -> None:
    both = opened(start(), upstream)
    first, second = both.ends(upwards=upwards)
    words = os.urandom(200_000)
    first.send(BINARY, words)
    first.send(CLOSE, close(1000))
    first.sock.shutdown(socket.SHUT_WR)
    assert second.got() == (BINARY, words)
    assert second.got() == (CLOSE, close(1000))
    second.send(CLOSE, close(1000))
    assert second.end() == "closed"


@pytest.mark.parametrize("upwards", [True, False])
@pytest.mark.parametrize("reset", [True, False])
def test_an_end_without_a_close_is_one_on_the_other_side(
    start: Start,
    upstream: Upstream,
    upwards: bool,
    reset: bool,
) -> None:
    proxy = start()
    both = opened(proxy, upstream)
    first, second = both.ends(upwards=upwards)
    if reset:
        first.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    first.sock.close()
    assert second.end() in ("closed", "reset")
    until(lambda: proxy.metric("leeward_inflight_requests") == 0)


async def test_real_ends_that_compress(leeward: Start) -> None:
    async def echo(asked: web.Request) -> web.WebSocketResponse:
        answer = web.WebSocketResponse(protocols=("chat",))
        await answer.prepare(asked)
        async for message in answer:
            if message.data == "bye":
                await answer.close(code=4000, message=b"you said so")
            elif message.type is aiohttp.WSMsgType.TEXT:
                await answer.send_str(message.data)
            else:
                await answer.send_bytes(message.data)
        return answer

    app = web.Application()
    app.router.add_get("/echo", echo)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        base = str(server.make_url("/")).rstrip("/")
        proxy = leeward({"upstreams": {"api": {"base_url": base}}})
        url = f"{proxy.base}/api/echo"
        async with session.ws_connect(url, compress=15, protocols=("other", "chat")) as ws:
            assert ws.protocol == "chat"
            assert ws.compress
            await ws.ping(b"are you there")
            for size in (0, 1, 125, 126, 70_000, 3_000_000):
                await ws.send_str("x" * size)
                assert len(await ws.receive_str()) == size
                await ws.send_bytes(bytes(size))
                assert len(await ws.receive_bytes()) == size
            await ws.send_str("bye")
            assert (await ws.receive()).type is aiohttp.WSMsgType.CLOSE
            assert ws.close_code == 4000
    proxy.stop()
