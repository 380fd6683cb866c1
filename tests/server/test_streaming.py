"""Bodies in, responses out: framing, back-pressure and breaking off."""

import asyncio
from typing import Any

import pytest

from proxy.core.failure import UpstreamProtocolError
from proxy.core.message import Headers, Response, Whole
from tests.server.serving import Pieces, serving
from tests.server.test_app import asked
from tests.wire import BadAnswerError, Wire

HOST = b" HTTP/1.1\r\nHost: a\r\n"


def saying(body: Any, *fields: tuple[str, str], status: int = 200):
    async def answer(request: Any, exchange: Any) -> Response:
        return Response(status=status, reason="Said", headers=Headers.of(*fields), body=body)

    return answer


@pytest.mark.parametrize(
    ("body", "framing", "read"),
    [
        (Whole(b"abc"), "length", b"abc"),
        (Whole(), "length", b""),
        (Pieces(b"ab", b"c", length=3), "length", b"abc"),
        (Pieces(b"ab", b"c"), "chunked", b"abc"),
        (Pieces(), "chunked", b""),
    ],
)
async def test_exactly_one_framing_field(body, framing, read):
    copied = [
        ("Content-Length", "999"),
        ("Transfer-Encoding", "gzip"),
        ("Connection", "close"),
        ("Keep-Alive", "9"),
    ]
    async with serving(saying(body, *copied)) as served:
        answer = await asked(served, b"GET /" + HOST + b"\r\n")
    assert (answer.framing, answer.body, answer.complete) == (framing, read, True)
    assert len(answer.headers("content-length")) + len(answer.headers("transfer-encoding")) == 1
    assert "connection" not in {name.lower() for name, _ in answer.fields}
    assert answer.reason == "Said"


async def test_an_old_caller_gets_a_body_of_unknown_length_until_close():
    async with serving(saying(Pieces(b"ab", b"c"))) as served:
        answer = await asked(served, b"GET / HTTP/1.0\r\n\r\n")
    assert (answer.framing, answer.body, answer.complete) == ("close", b"abc", True)


async def test_an_old_caller_may_keep_its_connection():
    both = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    async with serving(saying(Whole(b"abc"))) as served:
        answers = await asked(served, both, both, then=lambda wire: (wire.read(), wire.read()))
    assert [answer.header("connection") for answer in answers] == ["keep-alive", "keep-alive"]


@pytest.mark.parametrize(
    ("method", "status", "length"),
    [(b"HEAD", 200, "17"), (b"GET", 304, "17"), (b"GET", 204, None), (b"GET", 205, "0")],
)
async def test_answers_without_a_body(method, status, length):
    body = Pieces(b"must not be sent")
    async with serving(saying(body, ("Content-Length", "17"), status=status)) as served:
        ask = method + b" /" + HOST + b"\r\n"
        answers = await asked(
            served, ask, ask, then=lambda wire: (wire.read(method.decode()), wire.read(method.decode()))
        )
    assert [answer.header("content-length") for answer in answers] == [length, length]
    assert [answer.body for answer in answers] == [b"", b""]
    assert body.closed


def broke_off(wire: Wire) -> bool:
    try:
        return not wire.read().complete
    except BadAnswerError:
        return wire.ending == "reset"  # the reset overtook even the head


@pytest.mark.parametrize("length", [None, 100])
@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
async def test_a_body_that_breaks_off_is_never_ended(length, version):
    body = Pieces(b"half", length=length, error=UpstreamProtocolError("cut", sent=True))
    body.gate = asyncio.Event()
    async with serving(saying(body)) as served:
        body.gate.set()
        assert await asked(served, b"GET / HTTP/" + version + b"\r\nHost: a\r\n\r\n", then=broke_off)
        exchange = await served.record.first()
    assert exchange.cut
    assert exchange.code == "bad_upstream_response"
    assert body.closed


async def test_a_body_shorter_than_its_length_is_broken_off_too():
    async with serving(saying(Pieces(b"half", length=100))) as served:
        assert await asked(served, b"GET /" + HOST + b"\r\n", then=broke_off)
        assert (await served.record.first()).code == "bad_upstream_response"


async def test_a_caller_that_does_not_read_is_given_up():
    piece = b"x" * 1_000_000
    body = Pieces(*[piece] * 60)
    async with serving(saying(body), idle_timeout=0.2) as served:
        ended = await asked(served, b"GET /" + HOST + b"\r\n", then=lambda wire: served_done(served, wire))
        exchange = await served.record.first()
    assert ended
    assert exchange.cut
    assert body.closed
    assert exchange.bytes_out < 60 * len(piece)


def served_done(served: Any, wire: Any) -> bool:
    """Holds the connection open, unread, until the server has given up."""
    import time

    until = time.monotonic() + 10
    while time.monotonic() < until and not served.record.done:
        time.sleep(0.02)
    return bool(served.record.done)


async def test_request_bodies_are_pulled_whole():
    async with serving() as served:
        length = b"POST /p" + HOST + b"Content-Length: 5\r\n\r\nhello"
        chunked = b"POST /p" + HOST + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
        answers = await asked(served, length, chunked, then=lambda wire: (wire.read(), wire.read()))
    assert [answer.body for answer in answers] == [b"POST /p hello"] * 2
    assert [exchange.bytes_in for exchange in served.record.done] == [5, 5]


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 1001\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n3e9\r\n" + b"x" * 1001,
    ],
)
async def test_a_body_over_the_limit(head):
    async with serving() as served:
        answer = await asked(served, b"POST /" + HOST + head, then=lambda wire: (wire.read(), wire.end()))
    assert (answer[0].status, answer[0].code) == (413, "payload_too_large")
    assert answer[1] in {"closed", "reset"}


async def test_continue_is_said_once_and_only_when_the_body_is_wanted():
    async with serving() as served:
        ask = b"POST /p" + HOST + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n"

        def talk(wire: Any) -> Any:
            wire.sock.recv(25, 0x100)  # MSG_WAITALL: the whole interim answer
            wire.send(b"ok")
            return wire.read()

        answer = await asked(served, ask, then=talk)
    assert (answer.informational, answer.body) == ([], b"POST /p ok")


async def test_no_continue_where_the_request_is_refused():
    async with serving(max_request_body=1) as served:
        ask = b"POST /p" + HOST + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        answer = await asked(served, ask)
    assert (answer.status, answer.informational) == (413, [])


async def test_a_body_that_comes_too_slowly():
    async with serving(idle_timeout=0.2) as served:
        answer = await asked(served, b"POST /p" + HOST + b"Content-Length: 5\r\n\r\nhe")
    assert (answer.status, answer.code) == (408, "bad_request")


async def test_a_broken_chunk_is_told_to_the_reader():
    async with serving() as served:
        answer = await asked(
            served, b"POST /p" + HOST + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\nzz\r\n"
        )
    assert (answer.status, answer.code) == (400, "bad_request")
