"""Has silence an end, at the right time and for the right reason?"""

from __future__ import annotations

import asyncio

from proxy.core.failure import (
    BadRequestError,
    DeadlineExceededError,
    UpstreamTimeoutError,
)
from tests.origin import Gate
from tests.upstream.conftest import HEAD, OK, ONCE, Endless, Pieces, Way


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
