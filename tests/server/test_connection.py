"""A connection's states and time limits, and the parts of aiohttp that it leans on."""

import asyncio
import inspect
import threading
from typing import Any

import aiohttp
import pytest
from aiohttp import http_parser, web_protocol
from aiohttp.base_protocol import BaseProtocol
from aiohttp.streams import StreamReader

from proxy.core.message import Response
from proxy.server.connection import Connection
from tests.server.serving import serving, text
from tests.server.test_app import GET, asked
from tests.upstream.test_acknowledgement import unacknowledged


def test_the_library_is_the_one_that_was_read():
    """Where this fails, read web_protocol.RequestHandler anew before raising the pin."""
    assert aiohttp.__version__.startswith("3.14.")
    source = inspect.getsource(web_protocol.RequestHandler)
    leaned_on = [
        "_messages", "_waiter", "_parser", "_force_close", "_task_handler", "_buffer_paused",
        "_reading_paused", "_msg_queue_resume_size", "message_consumed", "handler_cancellation",
        "_payload_parser.feed_eof()", "eof, tail = self._payload_parser.feed_data(data)", "_message_tail",
    ]  # fmt: skip
    assert [name for name in leaned_on if name not in source + inspect.getsource(BaseProtocol)] == []
    for method in ("_resume_reading_if_drained", "force_close", "start", "connection_lost", "set_parser"):
        assert callable(getattr(web_protocol.RequestHandler, method))
    assert callable(BaseProtocol._resume_transport_reading)
    assert callable(BaseProtocol._drain_helper)
    assert {"status", "exc", "message"} == set(inspect.signature(web_protocol._ErrInfo).parameters)
    assert "if self._keepalive_timeout > 0" in inspect.getsource(web_protocol.RequestHandler.connection_made)
    for method in ("read_nowait", "readany", "at_eof", "is_eof", "set_exception", "exception"):
        assert callable(getattr(StreamReader, method))
    assert http_parser.HttpRequestParser is not http_parser.HttpRequestParserPy, "the C parser is missing"


POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab"


async def test_requests_follow_one_another_on_one_connection():
    async with serving() as served:
        bodies = await asked(
            served, GET, b"GET /y HTTP/1.1\r\nHost: a\r\n\r\n", then=lambda w: [w.read().body, w.read().body]
        )
    assert bodies == [b"GET /x ", b"GET /y "]


async def test_pipelined_requests_are_answered_in_order():
    many = b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(500))
    async with serving() as served:
        bodies = await asked(served, many, then=lambda w: [w.read().body for _ in range(500)])
    assert bodies == [b"GET /%d " % number for number in range(500)]


async def test_heads_in_pieces():
    async with serving() as served:
        answer = await asked(served, *(GET[i : i + 1] for i in range(len(GET))))
    assert answer.status == 200


async def test_a_head_that_takes_too_long_is_cut():
    async with serving(header_timeout=0.2, idle_timeout=30) as served:
        ended = await asked(served, b"GET / HTTP/1.1\r\nHost:", then=lambda wire: wire.end(5))
    assert ended in {"closed", "reset"}
    assert served.record.done == []


async def test_dripping_does_not_prolong_a_head():
    async with serving(header_timeout=0.4, idle_timeout=30) as served:

        def drip(wire: Any) -> Any:
            wire.sock.settimeout(0.05)
            for _ in range(200):
                wire.send(b"X")
                try:
                    if not wire.sock.recv(1):
                        return "closed"
                except TimeoutError:
                    continue
                except ConnectionResetError:
                    return "reset"
            return "open"

        assert await asked(served, b"GET / HTTP/1.1\r\nX-", then=drip) in {"closed", "reset"}


async def test_an_idle_connection_is_closed():
    async with serving(idle_timeout=0.2) as served:
        fresh, used = await asyncio.gather(
            asked(served, then=lambda wire: wire.end(5)),
            asked(served, GET, then=lambda wire: (wire.read(), wire.end(5))[1]),
        )
    assert fresh in {"closed", "reset"}
    assert used in {"closed", "reset"}


async def test_a_busy_connection_is_not_idle():
    async def slow(request: Any, exchange: Any) -> Response:
        await asyncio.sleep(0.5)
        return text(b"late")

    async with serving(slow, idle_timeout=0.1, header_timeout=0.1) as served:
        assert (await asked(served, GET)).body == b"late"


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
        b"G@T / HTTP/1.1\r\n\r\n",
    ],
)
async def test_what_does_not_parse_gets_400_and_the_end(garbage):
    async with serving() as served:
        answer, ended = await asked(served, garbage, GET, then=lambda wire: (wire.read(), wire.end()))
    assert (answer.status, answer.code) == (400, "bad_request")
    assert ended in {"closed", "reset"}
    assert len(served.record.done) == 1


async def test_a_head_without_an_end_is_bounded():
    async with serving() as served:
        pieces = [b"GET / HTTP/1.1\r\nHost: a\r\n", *[b"X-%d: %b\r\n" % (n, b"y" * 1000) for n in range(40)]]
        answer = await asked(served, *pieces)
    assert (answer.status, answer.code) == (400, "bad_request")


async def test_nothing_is_parsed_behind_an_unread_body():
    async def refuse(request: Any, exchange: Any) -> Response:
        return text(b"no")

    smuggled = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n\r\n" + GET
    async with serving(refuse) as served:
        answer, ended = await asked(served, smuggled, GET, then=lambda wire: (wire.read(), wire.end()))
    assert answer.header("connection") == "close"
    assert ended in {"closed", "reset"}
    assert len(served.record.done) == 1


async def test_nothing_is_parsed_behind_an_upgrade():
    upgrade = b"DELETE / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    async with serving() as served:
        answer, ended = await asked(served, upgrade + GET, then=lambda wire: (wire.read(), wire.end()))
    assert (answer.status, answer.header("connection")) == (200, "close")
    assert ended in {"closed", "reset"}
    assert len(served.record.done) == 1


async def test_connections_are_counted_and_forgotten():
    async with serving() as served:
        await asked(served, GET, then=lambda wire: wire.read())
        for _ in range(100):
            if not served.connections.open:
                break
            await asyncio.sleep(0.01)
        assert served.connections.open == set()
        assert served.connections.busy() == 0


@pytest.mark.parametrize(
    "begun", [b"POST / HTTP/1.1\r\nHo", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na"]
)
async def test_a_request_of_which_more_is_due_is_acknowledged_at_once(begun, monkeypatch):
    """A caller that writes head and body apart may keep the rest back until then."""
    rest = POST.removeprefix(begun)
    came = threading.Event()
    parsed = Connection._parsed

    def watched(self: Connection, data: bytes, *, fresh: bool) -> None:
        parsed(self, data, fresh=fresh)
        if data == begun:
            came.set()

    monkeypatch.setattr(Connection, "_parsed", watched)

    def later(wire: Any) -> Any:
        for _ in range(8):
            wire.send(GET)
            assert wire.read().status == 200
        wire.send(begun)
        assert came.wait(10)
        assert unacknowledged(wire.sock) == 0
        wire.send(rest)
        return wire.read()

    async with serving() as served:
        assert (await asked(served, then=later)).status == 200
