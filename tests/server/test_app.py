"""The answer to one request, whatever happens."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from proxy.core.failure import InternalError, NoRouteError
from proxy.core.message import Response
from tests.server.serving import echo, serving, text
from tests.wire import Wire

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"


@dataclass
class Token:
    value: str = "s3cret"

    def reveal(self) -> str:
        return self.value

    def describe(self) -> str:
        return "test"


async def asked(served: Any, *pieces: bytes, then: Callable[[Wire], Any] = lambda wire: wire.read()) -> Any:
    def ask() -> Any:
        with Wire(served.address) as wire:
            return then(wire.send(*pieces))

    return await asyncio.to_thread(ask)


async def test_an_answer_is_dated_and_recorded():
    async with serving() as served:
        answer = await asked(served, GET)
        exchange = await served.record.first()
    assert (answer.status, answer.body, answer.framing) == (200, b"GET /x ", "length")
    assert len(answer.headers("date")) == 1
    assert (exchange.method, exchange.target, exchange.status, exchange.bytes_out) == ("GET", "/x", 200, 7)
    assert exchange.seconds >= (exchange.first_byte or 0) >= 0
    assert not exchange.cut


async def test_the_record_holds_no_query():
    async with serving() as served:
        await asked(served, b"GET /x?key=canary HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await served.record.first()).target == "/x"


async def test_a_caller_s_id_is_taken():
    async with serving() as served:
        await asked(served, b"GET /x HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine\r\n\r\n")
        assert (await served.record.first()).id == "mine"


async def test_a_failure_is_a_problem_document():
    async def nowhere(request: Any, exchange: Any) -> Response:
        raise NoRouteError

    async with serving(nowhere) as served:
        answer = await asked(served, GET)
        exchange = await served.record.first()
    assert (answer.status, answer.code) == (404, "no_route")
    assert answer.problem["request_id"] == exchange.id == answer.header("x-request-id")
    assert exchange.code == "no_route"


async def test_our_bug_is_told_to_us_and_not_to_the_caller():
    async def broken(request: Any, exchange: Any) -> Response:
        raise ZeroDivisionError("a secret of ours")

    async with serving(broken) as served:
        answer = await asked(served, GET)
        exchange = await served.record.first()
    assert (answer.status, answer.code) == (500, "internal")
    assert b"secret" not in answer.body
    assert isinstance(served.bugs[0], ZeroDivisionError)
    assert isinstance(exchange.error, InternalError)


@pytest.mark.parametrize(
    "field",
    [b"Leeward-Token: s3cret", b"Proxy-Authorization: Bearer s3cret", b"proxy-authorization: bearer  s3cret"],
)
async def test_the_right_token_enters(field):
    async with serving(client_token=Token()) as served:
        answer = await asked(served, b"GET /x HTTP/1.1\r\nHost: a\r\n" + field + b"\r\n\r\n")
    assert answer.status == 200


@pytest.mark.parametrize(
    "field",
    [
        b"A: b",
        b"Leeward-Token: s3cre",
        b"Leeward-Token: \xff",
        b"Proxy-Authorization: Basic s3cret",
        b"Authorization: Bearer s3cret",
    ],
)
async def test_another_token_does_not(field):
    async with serving(client_token=Token()) as served:
        answer = await asked(served, b"GET /x HTTP/1.1\r\nHost: a\r\n" + field + b"\r\n\r\n")
    assert (answer.status, answer.code) == (407, "unauthorized_caller")
    assert answer.header("proxy-authenticate") == "Bearer"
    assert answer.header("proxy-status") == "leeward; error=http_request_denied"


async def test_a_refused_method_is_told_what_is_allowed():
    async with serving() as served:
        answer = await asked(served, b"TRACE / HTTP/1.1\r\nHost: a\r\nAuthorization: canary\r\n\r\n")
    assert (answer.status, answer.code) == (405, "bad_request")
    assert "GET" in (answer.header("allow") or "")
    assert b"canary" not in answer.body


async def test_a_draining_app_says_close():
    async with serving() as served:
        served.app.draining = True
        answer = await asked(served, GET, then=lambda wire: (wire.read(), wire.end()))
    assert answer[0].header("connection") == "close"
    assert answer[1] == "closed"


async def test_a_caller_that_leaves_cancels_its_request():
    began, ended = asyncio.Event(), asyncio.Event()

    async def slow(request: Any, exchange: Any) -> Response:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return text(b"")

    async with serving(slow) as served:
        wire = await asyncio.to_thread(lambda: Wire(served.address).send(GET))
        await asyncio.wait_for(began.wait(), 5)
        wire.sock.close()
        await asyncio.wait_for(ended.wait(), 5)
        exchange = await served.record.first()
    assert (exchange.status, exchange.cut) == (499, True)


async def test_the_date_is_made_once_a_second():
    class Clock:
        seconds = 0.0

        def now(self) -> float:
            return 0.0

        def wall(self) -> float:
            return self.seconds

    clock = Clock()
    async with serving(echo, clock=clock) as served:
        first = (await asked(served, GET)).header("date")
        clock.seconds = 61.5
        second = (await asked(served, GET)).header("date")
    assert first == "Thu, 01 Jan 1970 00:00:00 GMT"
    assert second == "Thu, 01 Jan 1970 00:01:01 GMT"
