"""Is every attempt let in by what restrains it, and its end told there?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from proxy.core.exchange import Exchange
from proxy.core.failure import APIError, CircuitOpenError, CredentialError
from proxy.core.message import Headers, Request, Response, Whole
from proxy.core.reason import Reason
from proxy.core.routing import Origin as Base
from proxy.core.routing import Route
from tests.origin import Gate, closed_port
from tests.upstream.conftest import OK, Way, whole

BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nno"


class Doorkeeper:
    """A Restraint that does as it is told, and writes down what it is told."""

    def __init__(self, *, refuses: Reason | None = None, fails: APIError | None = None) -> None:
        self.refuses = refuses
        self.fails = fails
        self.seen: list[str] = []
        self.deadlines: list[float] = []
        self.base: Base | None = None

    async def admit(
        self, request: Request, route: Route, exchange: Exchange, *, deadline: float
    ) -> Doorkeeper:
        self.seen.append("in")
        self.base = self.base or route.origins[0]
        self.deadlines.append(deadline - time.monotonic())
        if self.fails is not None:
            raise self.fails
        return self

    @property
    def origin(self) -> Base:
        assert self.base is not None
        return self.base

    def elsewhere(self, route: Route, exchange: Exchange) -> bool:
        self.base = route.origins[-1]
        return len(route.origins) > 1

    def spare(self, request: Request, route: Route, exchange: Exchange) -> Doorkeeper | None:
        self.seen.append("spare")
        return None if self.refuses is not None else self

    def at_once(self, request: Request, route: Route) -> Doorkeeper | None:
        self.seen.append("at once")
        return None if self.refuses is not None else self

    def well(self, status: int, headers: Callable[[], Headers] | None) -> None:
        left = None if headers is None else headers().get("x-ratelimit-remaining")
        self.seen.append(f"well {status} {left}")

    def answered(self, response: Response) -> Response:
        self.seen.append(str(response.status))
        return response

    def failed(self, failure: APIError | None) -> None:
        self.seen.append("left" if failure is None else failure.code)

    def refusal(self, request: Request, route: Route, *, remaining: float) -> Reason | None:
        assert 0 < remaining <= 60
        return self.refuses


async def test_each_attempt_is_admitted_and_told(way: Way) -> None:
    door = way.attempts.restraint = Doorkeeper()
    way.origin.on("/x").raw(BUSY).raw(b"nonsense\r\n\r\n", then="close").raw(OK)
    assert (await way.ask()).status == 200
    assert [word for word in door.seen if word != "left"] == [
        "in",
        "503",
        "in",
        "bad_upstream_response",
        "in",
        "200",
    ]


async def test_a_refusal_ends_the_attempts_with_its_reason(way: Way) -> None:
    way.attempts.restraint = Doorkeeper(refuses=Reason.CIRCUIT_OPEN)
    way.origin.on("/x").raw(BUSY)
    got = await way.ask()
    assert (got.status, got.told) == (503, [("5xx", "circuit-open")])


async def test_who_is_not_let_in_sends_nothing(way: Way) -> None:
    way.attempts.restraint = Doorkeeper(fails=CircuitOpenError(retry_after=3))
    got = await way.ask()
    assert isinstance(got.failure, CircuitOpenError)
    assert got.exchange.attempts == []
    assert way.origin.count() == 0


async def test_a_caller_that_leaves_and_a_missing_credential_are_told(way: Way) -> None:
    door = way.attempts.restraint = Doorkeeper()
    way.origin.on("/x").raw(Gate())
    task = asyncio.create_task(way.ask())
    await asyncio.to_thread(way.origin.wait_for, "/x")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert door.seen == ["in", "left"]
    way.stamp.failure = CredentialError()
    await way.ask()
    assert door.seen[2:] == ["in", "left"]


async def test_the_callers_own_deadline_shortens_the_total(way: Way) -> None:
    door = way.attempts.restraint = Doorkeeper()
    way.origin.on("/x").raw(OK)
    await way.ask("GET", "/x", ("X-Request-Timeout", "2.5"), ("grpc-timeout", "9S"))
    await way.ask("GET", "/x", ("X-Request-Timeout", "900"))
    short, long = door.deadlines
    assert 2 < short <= 2.5
    assert 55 < long <= 60


async def test_where_the_record_has_a_deadline_that_one_counts(way: Way) -> None:
    door = way.attempts.restraint = Doorkeeper()
    way.origin.on("/x").raw(OK)
    record = Exchange(id="1", method="GET", target="/x", started=0.0, at=0.0)
    record.deadline = way.attempts.clock.now() + 7.5
    asked = Request(method="GET", target="/x", headers=Headers(), body=Whole())
    answer = await way.attempts.send(asked, way.route, record)
    answer.body.close()
    [left] = door.deadlines
    assert 7 < left <= 7.5


async def test_an_answer_that_began_in_time_may_take_the_routes_whole_time(way: Way) -> None:
    rest = Gate()
    way.origin.on("/x").raw(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab", rest, b"cd")
    record = Exchange(id="1", method="GET", target="/x", started=0.0, at=0.0)
    record.deadline = way.attempts.clock.now() + 0.2
    asked = Request(method="GET", target="/x", headers=Headers(), body=Whole())
    answer = await way.attempts.send(asked, way.route, record)
    reading = asyncio.create_task(whole(answer))
    await asyncio.sleep(0.3)
    rest.open()
    assert await reading == b"abcd"


async def test_a_retry_goes_where_the_permit_says_and_at_once_where_nothing_was_sent(way: Way) -> None:
    way.attempts.restraint = Doorkeeper()
    dead = Base(scheme="http", host="127.0.0.1", port=closed_port())
    way.origin.on("/x").raw(OK)
    got = await way.ask("POST", body=b"pay", origins=(dead, way.route.origins[0]))
    assert (got.status, got.told) == (200, [("connect", "connect"), ("2xx", None)])
    first, second = got.exchange.attempts
    assert (first.wait, first.endpoint, second.endpoint) == (0.0, dead.url, way.origin.url)
