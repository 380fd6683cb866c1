"""Does a request go out again byte for byte, and only where nothing about it is for one request alone?"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from proxy.auth.query import Query
from proxy.core.failure import CredentialError
from proxy.core.message import Headers, Request
from proxy.core.reason import Reason
from proxy.core.resilience.hedging import HedgePolicy
from proxy.core.routing import Origin as Base
from proxy.upstream.express import Template
from tests.auth.planted import SALT, Planted
from tests.origin import Gate
from tests.upstream.conftest import OK, Pieces, Stamp, Way
from tests.upstream.riding import OTHER_TRACE, SECRET, TRACE, Rider, Riding, Token, asked, told
from tests.upstream.test_restrained import Doorkeeper

Making = Callable[..., Awaitable[Template | None]]


@pytest.fixture
async def making(way: Way) -> Making:
    """What is made of a request as it left the pipeline, and of changes to its route."""
    riding = Riding(way)
    await riding.warm()

    async def made(
        request: Request, *, request_id: str = "one", traceparent: str = TRACE, **changed: Any
    ) -> Template | None:
        route = replace(riding.route, **changed)
        return await riding.expresses.template(request, route, request_id=request_id, traceparent=traceparent)

    return made


@pytest.mark.parametrize("turned", [False, True])
async def test_it_is_what_the_long_way_writes(way: Way, making: Making, turned: bool) -> None:
    base = Base(scheme="http", host="127.0.0.1", port=way.origin.port, path="/v1")
    request = asked(("Accept", "*/*"), ("x-b", "\xe9"), target="/a%20b?c=d")
    if turned:
        request = replace(request, headers=Headers(reversed(request.headers.fields)))
    way.origin.on("*").raw(OK)
    riding = Riding(way, origins=(base,))
    await way.ask("GET", request.target, *_pairs(request), injector=riding.token, origins=(base,))
    [long] = [hit.raw_head for hit in way.origin.hits() if hit.target != "/warm"]
    template = await riding.expresses.template(request, riding.route, request_id="one", traceparent=TRACE)
    assert template is not None
    assert template.written(b"one", TRACE.encode()) == long
    again = template.written(b"two", OTHER_TRACE.encode())
    assert again == long.replace(b": one\r", b": two\r").replace(TRACE.encode(), OTHER_TRACE.encode())
    assert template.traced_first is turned
    for piece in (*template.pieces, repr(template).encode()):
        assert b"express-" not in piece
    assert SECRET not in repr(template)


def _pairs(request: Request) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.fields]


async def test_who_sent_no_traceparent_gets_a_new_one_each_time(making: Making) -> None:
    template = await making(asked(), traceparent="")
    assert template is not None
    assert OTHER_TRACE.encode() in template.written(b"two", OTHER_TRACE.encode())


def without(*names: str) -> Request:
    request = asked()
    return replace(request, headers=request.headers.without(frozenset(names)))


HOPELESS: dict[str, Callable[[], Request]] = {
    "a HEAD": lambda: replace(asked(), method="HEAD"),
    "a POST": lambda: replace(asked(), method="POST"),
    "a body": lambda: replace(asked(), body=Pieces(b"x", length=1)),
    "a body of unknown length": lambda: replace(asked(), body=Pieces(b"x")),
    "a WebSocket": lambda: asked(("Connection", "Upgrade"), ("Upgrade", "websocket")),
    "no id": lambda: without("x-request-id"),
    "no traceparent": lambda: without("traceparent"),
    "a key of its own": lambda: asked(("Idempotency-Key", "k")),
    "a deadline": lambda: asked(("X-Request-Timeout", "3")),
    "a deadline of gRPC": lambda: asked(("grpc-timeout", "3S")),
    "a mark within": lambda: asked(("X-A", "express-request-id-mark")),
    "the other mark": lambda: asked(("X-A", "00-express-trace-mark-00")),
}


@pytest.mark.parametrize("name", HOPELESS)
async def test_what_is_for_one_request_only_has_none(making: Making, name: str) -> None:
    assert await making(asked()) is not None
    assert await making(HOPELESS[name]()) is None


async def test_another_name_than_was_sent_has_none(making: Making) -> None:
    assert await making(asked(), request_id="another") is None
    assert await making(asked(), traceparent=OTHER_TRACE) is None


ROUTES: dict[str, Callable[[Riding], dict[str, Any]]] = {
    "two origins": lambda riding: {"origins": riding.route.origins * 2},
    "a hedge": lambda riding: {"retry": replace(riding.route.retry, hedge=HedgePolicy())},
    "the caller's address": lambda _: {"forwarded": True},
    "an injector of which nothing is known": lambda _: {"injector": Stamp()},
    "keys that take turns": lambda _: {"injector": Token(steady=False)},
    "a credential in the URL": lambda _: {"injector": Query("key", Planted(), SALT)},
    "an origin that nobody went to": lambda _: {"name": "another"},
}


@pytest.mark.parametrize("name", ROUTES)
async def test_a_route_that_treats_each_in_its_own_way_has_none(way: Way, making: Making, name: str) -> None:
    assert await making(asked(), **ROUTES[name](Riding(way))) is None


@pytest.mark.parametrize("taken", ["x-request-id", "traceparent"])
async def test_a_credential_in_the_place_of_a_name_has_none(making: Making, taken: str) -> None:
    class Replacing(Token):
        async def inject(self, request: Request, origin: Base) -> Request:
            return replace(request, headers=request.headers.replacing(taken, "k"))

    assert await making(asked(), injector=Replacing()) is None


async def test_a_credential_that_is_gone_has_none(making: Making) -> None:
    class Gone(Token):
        async def inject(self, request: Request, origin: Base) -> Request:
            raise CredentialError("The credential's file is empty.")

    assert await making(asked(), injector=Gone()) is None


async def test_nothing_is_known_before_the_first_call(way: Way) -> None:
    riding = Riding(way)
    assert await riding.expresses.template(asked(), riding.route, request_id="one", traceparent=TRACE) is None


# At once, or not at all


async def test_without_an_idle_connection_nothing_is_begun(way: Way) -> None:
    riding = Riding(way)
    gate = Gate()
    riding.on().raw(gate, OK)
    template = await riding.warm()
    door = way.attempts.restraint = Doorkeeper()
    door.base = riding.route.origins[0]
    first, second = Rider(), Rider()
    riding.send(template, first)
    assert riding.expresses.send(template, b"three", TRACE.encode(), 0.0, second) is None
    assert (door.seen, second.seen) == (["at once", "at once", "left"], [])
    gate.open()
    assert await told(first) == ["wants", "gets"]
    assert len(riding.hits()) == 1


async def test_an_idle_connection_that_stirs_is_not_used(way: Way) -> None:
    riding = Riding(way)
    template = await riding.warm()
    way.origin.on("/last").raw(OK, then="close")
    await way.ask("GET", "/last", injector=riding.token)
    await asyncio.to_thread(way.origin.wait_closed, way.origin.hits("/last")[0])
    assert riding.expresses.send(template, b"two", TRACE.encode(), 0.0, Rider()) is None
    assert (riding.hits(), way.counts) == ([], (0, 0))


async def test_who_would_have_to_wait_takes_no_connection(way: Way) -> None:
    riding = Riding(way)
    template = await riding.warm()
    [(_, since)] = template.connector._conns[template.dial.connection_key]
    way.attempts.restraint = Doorkeeper(refuses=Reason.HOLD_OFF)
    assert riding.expresses.send(template, b"two", TRACE.encode(), 0.0, Rider()) is None
    assert (riding.hits(), way.counts) == ([], (0, 1))
    assert [kept for _, kept in template.connector._conns[template.dial.connection_key]] == [since]


@pytest.mark.parametrize("again", [False, True])
async def test_each_counts_for_the_budget_once(way: Way, again: bool) -> None:
    riding = Riding(way)
    if again:
        riding.request = asked(("X-Stainless-Retry-Count", "1"))
    riding.on().raw(OK).raw(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")
    template = await riding.warm()
    assert template.again is again
    counted: list[bool] = []
    budgets = way.attempts.budgets
    budgets.counted = lambda route, now, *, again: counted.append(again)  # type: ignore[method-assign]
    for _ in range(2):
        rider = Rider()
        express = riding.send(template, rider)
        await told(rider)
    response, _ = await riding.take_over(express)
    response.body.close()
    assert counted == [again, again]


async def test_sendings_that_wait_equally_long_share_a_row(making: Making, way: Way) -> None:
    one, two = await making(asked()), await making(asked(target="/y"))
    timeouts = replace(way.route.timeouts, attempt=3)
    three = await making(asked(), timeouts=timeouts)
    short = await making(asked(), timeouts=replace(way.route.timeouts, attempt=30, total=3))
    assert one is not None
    assert two is not None
    assert three is not None
    assert short is not None
    assert one.row is two.row is not three.row
    assert (three.row.seconds, short.row) == (3, three.row)
