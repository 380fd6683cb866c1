"""Has silence an end, at the right time and for the right reason?"""

from __future__ import annotations

import asyncio
import time

import pytest

from proxy.core.failure import (
    BadRequestError,
    DeadlineExceededError,
    UpstreamTimeoutError,
)
from proxy.upstream import session
from proxy.upstream.patience import Patience
from proxy.upstream.wire import Answered, Wire
from tests.origin import Gate
from tests.upstream.conftest import HEAD, OK, ONCE, Endless, Pieces, Way, whole


async def test_silence_is_a_timeout_of_the_attempt(way: Way) -> None:
    way.origin.on("/x").raw(Gate())
    got = await way.ask(retry=ONCE, timeouts={"attempt": 0.05})
    assert isinstance(got.failure, UpstreamTimeoutError)
    assert (got.failure.status, got.failure.sent, got.told) == (504, True, [("timeout", "attempts-used")])
    assert way.counts == (0, 0)


async def test_a_head_that_trickles_is_a_timeout_too(way: Way) -> None:
    way.origin.on("/x").raw(HEAD + b"X-A: a\r\n", Gate())
    got = await way.ask(retry=ONCE, timeouts={"attempt": 0.05})
    assert isinstance(got.failure, UpstreamTimeoutError)


async def test_an_upstream_that_takes_nothing_is_a_timeout(way: Way) -> None:
    way.origin.on("/x").raw(Gate(), read_body=False)
    got = await way.ask("POST", body=Endless(), timeouts={"attempt": 0.2})
    assert isinstance(got.failure, UpstreamTimeoutError)
    assert way.counts == (0, 0)


async def test_a_caller_that_stops_sending_is_not_the_upstreams_fault(way: Way) -> None:
    class Stopped(Pieces):
        async def read(self) -> bytes:
            if self.left:
                return await super().read()
            await asyncio.Event().wait()
            return b""

    way.origin.on("/x").raw(OK)
    got = await way.ask("PUT", body=Stopped(b"one"), timeouts={"idle": 0.05})
    assert isinstance(got.failure, BadRequestError)
    assert got.failure.status == 408


async def test_the_total_ends_the_wait_for_a_head(way: Way) -> None:
    way.origin.on("/x").raw(Gate())
    got = await way.ask(timeouts={"total": 0.1})
    assert isinstance(got.failure, DeadlineExceededError)
    assert got.told == [("timeout", "no-time-left")]


async def test_what_came_while_the_process_was_held_up_came_in_time(way: Way) -> None:
    head, rest = Gate(), Gate()
    way.origin.on("/x").raw(head, HEAD + b"Content-Length: 6\r\n\r\none", rest, b"two")
    opening = asyncio.ensure_future(way.open(retry=ONCE, timeouts={"attempt": 1, "idle": 1}))
    await asyncio.to_thread(way.origin.wait_for, "/x")
    held_up(head)
    got = await opening
    assert got.response is not None
    assert await got.response.body.read() == b"one"
    reading = asyncio.ensure_future(got.response.body.read())
    await asyncio.sleep(0)
    held_up(rest)
    assert await reading == b"two"
    assert await got.response.body.read() == b""


def held_up(gate: Gate) -> None:
    """The loop stands still for longer than is waited for, and meanwhile what was waited for comes."""
    gate.open()
    time.sleep(1.5)


async def test_a_head_that_is_here_is_not_waited_for(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was held up finds the answer and the end of the wait together."""
    gate = Gate()
    way.origin.on("/x").raw(HEAD + b"Content-Length: 6\r\n\r\none", gate, b"two")
    given: list[Patience] = []
    looked: list[bool] = []

    class Watched(Patience):
        def __init__(self, wire: Wire, *, attempt: float, total: float) -> None:
            super().__init__(wire, attempt=attempt, total=total)
            given.append(self)

    feed = Wire.feed_data

    def late(self: Wire, data: Answered, size: int = 0) -> None:
        feed(self, data, size)
        given[0].renew(0)
        for _ in range(2):  # the first is the last look
            given[0]._fire()
        looked.append(given[0].spent is not None)

    monkeypatch.setattr(session, "Patience", Watched)
    monkeypatch.setattr(Wire, "feed_data", late)
    got = await way.open()
    gate.open()
    assert got.response is not None
    assert await whole(got.response) == b"onetwo"
    assert looked == [True]


async def test_what_has_ended_is_not_begun_anew(way: Way) -> None:
    """An upload may go on behind an early answer; its connection is another request's soon."""
    wire = Wire(asyncio.get_running_loop())
    over = Patience(wire, attempt=60, total=asyncio.get_running_loop().time() + 60)
    over.end()
    over.renew(0)
    over._fire()
    await asyncio.sleep(0.05)
    assert over.spent is None
    assert wire.exception() is None
