"""Is the retrying library's loop driven by our decisions alone, and each of its traps avoided?"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from typing import Any

import pytest

from proxy.core.exchange import Exchange
from proxy.core.failure import (
    BadRequestError,
    ConnectError,
    CredentialError,
    DeadlineExceededError,
    UpstreamProtocolError,
)
from proxy.core.message import Headers, Request, Whole
from proxy.core.reason import Reason
from proxy.core.routing import Origin as Base
from tests.garbage import left_behind
from tests.origin import Flood, Gate, closed_port
from tests.upstream.conftest import HEAD, OK, QUICK, Pieces, Way

BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nno"
LIMITED = b"HTTP/1.1 429 Slow Down\r\nRetry-After: %b\r\nContent-Length: 2\r\n\r\nno"

# The ordinary course


async def test_a_failing_upstream_that_recovers(way: Way) -> None:
    way.origin.on("/x").raw(BUSY).raw(BUSY).raw(OK)
    got = await way.ask()
    assert (got.status, got.body, way.origin.count()) == (200, b"ok", 3)
    assert got.told == [("5xx", "status"), ("5xx", "status"), ("2xx", None)]
    first, second, last = got.exchange.attempts
    assert (first.status, last.status, last.wait) == (503, 200, None)
    assert first.wait is not None
    assert first.wait <= QUICK.max_wait
    assert first.started < second.started < last.started
    assert all(attempt.seconds > 0 for attempt in got.exchange.attempts)
    assert way.watcher.seen == got.exchange.attempts
    assert len({hit.connection for hit in way.origin.hits()}) == 1


async def test_when_attempts_are_used_up_the_caller_gets_the_last_answer(way: Way) -> None:
    way.origin.on("/x").raw(BUSY)
    got = await way.ask()
    assert (got.status, got.body, way.origin.count()) == (503, b"no", 3)
    assert got.told[-1] == ("5xx", "attempts-used")
    assert way.counts == (0, 1)


@pytest.mark.parametrize("attempts", [1, 2, 5])
async def test_hits_are_at_most_attempts(way: Way, attempts: int) -> None:
    way.origin.on("/x").raw(BUSY)
    await way.ask(retry={"attempts": attempts})
    assert way.origin.count() == attempts


@pytest.mark.parametrize("raw", [b"", HEAD + b"X-A", b"nonsense\r\n\r\n"])
async def test_broken_answers_are_asked_for_again(way: Way, raw: bytes) -> None:
    way.origin.on("/x").raw(raw, then="close").raw(OK)
    got = await way.ask()
    assert (got.status, got.told) == (200, [("protocol", "protocol"), ("2xx", None)])


async def test_silence_is_asked_again(way: Way) -> None:
    way.origin.on("/x").raw(Gate()).raw(OK)
    got = await way.ask(timeouts={"attempt": 0.1})
    assert (got.status, got.told) == (200, [("timeout", "timeout"), ("2xx", None)])


async def test_nothing_sent_is_tried_again_with_any_method(way: Way) -> None:
    base = Base(scheme="http", host="127.0.0.1", port=closed_port())
    got = await way.ask("POST", body=b"pay", origins=(base,))
    assert isinstance(got.failure, ConnectError)
    assert got.told == [("connect", "connect"), ("connect", "connect"), ("connect", "attempts-used")]


async def test_the_total_spans_all_attempts_and_waits(way: Way) -> None:
    way.origin.on("/x").raw(Gate())
    begun = time.monotonic()
    got = await way.ask(
        timeouts={"attempt": 1, "total": 2}, retry={"attempts": 100, "initial": 0, "max_wait": 0}
    )
    assert isinstance(got.failure, DeadlineExceededError)
    assert way.origin.count() == 2
    assert time.monotonic() - begun < 60
    assert got.told[-1] == ("timeout", "no-time-left")


async def test_a_told_wait_is_waited_out(way: Way) -> None:
    way.origin.on("/x").raw(LIMITED % b"0.2").raw(OK)
    got = await way.ask("POST")
    assert got.status == 200
    first, second = way.origin.hits()
    assert second.at - first.at >= 0.2
    assert got.told[0] == ("4xx", "retry-after")


@pytest.mark.parametrize(
    ("after", "timeouts", "reason"),
    [(b"31", {"total": 1000}, "retry-after-too-long"), (b"20", {"total": 10}, "no-time-left")],
)
async def test_a_told_wait_that_is_too_long_is_handed_to_the_caller_at_once(
    way: Way, after: bytes, timeouts: dict[str, Any], reason: str
) -> None:
    way.origin.on("/x").raw(LIMITED % after)
    got = await way.ask(timeouts=timeouts)
    assert (got.status, got.headers.get("retry-after")) == (429, after.decode())
    assert (got.told, way.origin.count()) == ([("4xx", reason)], 1)


# What may have had an effect


async def test_a_post_that_failed_is_not_repeated(way: Way) -> None:
    way.origin.on("/x").reply(500, b"no")
    got = await way.ask("POST", body=b"pay")
    assert (got.status, way.origin.count()) == (500, 1)
    assert got.told == [("5xx", "may-have-happened")]


async def test_a_post_with_a_key_that_the_upstream_honours_is_repeated(way: Way) -> None:
    way.origin.on("/x").reply(500).raw(b"", then="close").raw(OK)
    got = await way.ask("POST", body=b"pay", retry={"idempotency_key": "Idempotency-Key"})
    assert got.status == 200
    keys = {hit.header("idempotency-key") for hit in way.origin.hits()}
    assert keys == {got.exchange.idempotency_key}
    assert re.fullmatch(
        r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", keys.pop() or ""
    )
    assert [hit.body for hit in way.origin.hits()] == [b"pay"] * 3


async def test_the_callers_own_key_wins(way: Way) -> None:
    way.origin.on("/x").reply(500).raw(OK)
    got = await way.ask(
        "PATCH", "/x", ("idempotency-key", "mine"), retry={"idempotency_key": "Idempotency-Key"}
    )
    assert got.status == 200
    assert [hit.headers("idempotency-key") for hit in way.origin.hits()] == [["mine"]] * 2
    assert got.exchange.idempotency_key == "mine"


async def test_two_requests_have_two_keys_and_others_none(way: Way) -> None:
    way.origin.on("/x").raw(OK)
    for method in ("POST", "POST", "GET"):
        await way.ask(method, retry={"idempotency_key": "Idempotency-Key"})
    one, two, none = (hit.header("idempotency-key") for hit in way.origin.hits())
    assert one != two
    assert none is None


# Bodies


@pytest.mark.parametrize(
    ("attempts", "spooled", "unkept", "count"),
    [(3, 0, Reason.BODY_TOO_LARGE, 1), (3, 200_000, None, 3), (1, 200_000, None, 1)],
)
async def test_a_body_beyond_memory_goes_to_disk_or_goes_once(
    way: Way, attempts: int, spooled: int, unkept: Reason | None, count: int
) -> None:
    way.origin.on("/x").reply(503)
    body = bytes(100_000)
    retry = {"attempts": attempts, "max_replay_body": 70_000, "max_spool_body": spooled}
    got = await way.ask("PUT", body=Pieces(body, length=len(body)), retry=retry)
    assert (got.status, got.exchange.unkept) == (503, unkept)
    assert [hit.body for hit in way.origin.hits()] == [body] * count
    assert (way.attempts.rooms.memory.held, way.attempts.rooms.disk.held) == (0, 0)


async def test_a_streamed_body_is_sent_whole_each_time(way: Way) -> None:
    """The library's sessions send a generator's bytes once, and nothing the second time."""
    way.origin.on("/x").raw(BUSY).raw(BUSY).raw(OK)
    body = Pieces(b"a" * 70_000, b"b" * 70_000)
    got = await way.ask("PUT", body=body)
    assert got.status == 200
    assert [hit.body for hit in way.origin.hits()] == [b"a" * 70_000 + b"b" * 70_000] * 3
    assert body.pulled == 2


@pytest.mark.parametrize("length", [None, 140_000])
async def test_a_body_over_the_bound_is_sent_once(way: Way, length: int | None) -> None:
    way.origin.on("/x").raw(BUSY)
    body = Pieces(b"a" * 70_000, b"b" * 70_000, length=length)
    got = await way.ask("PUT", body=body, retry={"max_replay_body": 100_000})
    assert (got.status, way.origin.count()) == (503, 1)
    assert got.told == [("5xx", "body-not-replayable")]


async def test_a_body_over_the_bound_of_which_nothing_was_pulled_goes_again(way: Way) -> None:
    base = Base(scheme="http", host="127.0.0.1", port=closed_port())
    body = Pieces(b"a" * 70_000, b"b" * 70_000)
    got = await way.ask("PUT", body=body, retry={"max_replay_body": 1000}, origins=(base,))
    assert (len(got.exchange.attempts), body.pulled) == (3, 0)


async def test_what_an_early_answer_left_unread_is_sent_the_next_time(way: Way) -> None:
    way.origin.on("/x").raw(BUSY, then="close", read_body=False).raw(OK)
    pieces = [bytes([65 + n]) * 70_000 for n in range(8)]
    got = await way.ask("PUT", body=Pieces(*pieces), retry={"attempts": 5})
    assert got.status == 200
    assert way.origin.hits()[-1].body == b"".join(pieces)


async def test_a_callers_broken_body_is_not_retried(way: Way) -> None:
    way.origin.on("/x").raw(OK)
    got = await way.ask("PUT", body=Pieces(b"x" * 70_000, BadRequestError("the caller left")))
    assert isinstance(got.failure, BadRequestError)
    assert (len(got.exchange.attempts), got.told) == (1, [("", None)])
    assert way.watcher.seen == []


async def test_a_request_that_cannot_be_written_is_no_attempt(way: Way) -> None:
    # A target of its own: the origin may still be counting what a test before this one gave up.
    got = await way.ask("GET", "/unwritten", ("X-A", "a\r\nX-B: b"))
    assert isinstance(got.failure, BadRequestError)
    assert (got.exchange.attempts, way.origin.count("/unwritten"), way.counts) == ([], 0, (0, 0))


# Credentials


async def test_the_credential_goes_on_last_and_once_an_attempt(way: Way) -> None:
    way.origin.on("/x").raw(BUSY).raw(OK)
    await way.ask()
    assert [hit.headers("x-stamp") for hit in way.origin.hits()] == [["1"], ["2"]]
    assert way.stamp.count == 2


async def test_a_credential_that_cannot_be_had_ends_it(way: Way) -> None:
    way.stamp.failure = CredentialError("no token")
    got = await way.ask()
    assert got.failure is way.stamp.failure
    assert (got.exchange.attempts, way.origin.count()) == ([], 0)


# The library's traps (each seen with aiohttp 3.14 and aiohttp-retry 2.9)


async def test_trap_a_server_error_is_retried_by_default_whatever_the_method(way: Way) -> None:
    way.origin.on("/x").reply(501)
    assert ((await way.ask("POST")).status, way.origin.count()) == (501, 1)


@pytest.mark.parametrize("method", ["PROPFIND", "brew", "Get"])
async def test_trap_a_method_that_the_library_does_not_list(way: Way, method: str) -> None:
    way.origin.on("/x").raw(LIMITED % b"0").raw(OK)
    got = await way.ask(method)
    assert (got.status, [hit.method for hit in way.origin.hits()]) == (200, [method, method])


async def test_trap_a_discarded_answer_keeps_its_connection(way: Way) -> None:
    gate = Gate()
    way.origin.on("/x").raw(b"HTTP/1.1 503 Busy\r\nContent-Length: 9000000\r\n\r\n", Flood(9_000_000)).raw(
        gate, OK
    )
    task = asyncio.ensure_future(way.ask())
    await asyncio.to_thread(gate.reached.wait)
    # One in use, by the second attempt: the first one's is gone before its body was.
    assert way.counts == (1, 0)
    gate.open()
    assert (await task).body == b"ok"


async def test_trap_a_kept_connection_that_drops_is_retried_beyond_the_attempts(way: Way) -> None:
    """With attempts=3 aiohttp and the library together asked six times."""
    way.origin.on("/first").raw(OK)
    way.origin.on("/x").raw(b"", then="close")
    await way.ask("GET", "/first")
    got = await way.ask()
    assert isinstance(got.failure, UpstreamProtocolError)
    assert (len(got.exchange.attempts), way.origin.count("/x")) == (3, 4)


async def test_trap_true_means_stop(way: Way) -> None:
    way.origin.on("/x").raw(OK)
    got = await way.ask(retry={"attempts": 9})
    assert (got.status, way.origin.count()) == (200, 1)


async def test_trap_the_callback_is_not_asked_for_the_last_attempt(way: Way) -> None:
    way.origin.on("/x").raw(BUSY)
    got = await way.ask(retry={"attempts": 2})
    assert [attempt.reason for attempt in way.watcher.seen] == [a.reason for a in got.exchange.attempts]
    assert got.told[-1] == ("5xx", "attempts-used")


async def test_trap_options_are_not_shared_by_requests(way: Way) -> None:
    way.origin.on("/a").raw(LIMITED % b"0.05").raw(OK)
    way.origin.on("/b").raw(BUSY).raw(BUSY).raw(OK)
    a, b = await asyncio.gather(way.ask("GET", "/a"), way.ask("GET", "/b"))
    assert (a.told[0][1], b.told[0][1], way.origin.count("/a"), way.origin.count("/b")) == (
        "retry-after",
        "status",
        2,
        3,
    )


async def test_trap_the_library_logs_exceptions(way: Way, caplog: pytest.LogCaptureFixture) -> None:
    way.origin.on("/x").raw(b"", then="close").raw(BUSY).raw(OK)
    with caplog.at_level(logging.DEBUG):
        await way.ask()
    assert [record for record in caplog.records if record.name.startswith("aiohttp")] == []


async def test_attempts_below_one_are_one(way: Way) -> None:
    way.origin.on("/x").raw(BUSY)
    assert ((await way.ask(retry={"attempts": 0})).status, way.origin.count()) == (503, 1)


# Time is the clock's


async def test_the_deadline_is_told_by_the_clock(way: Way) -> None:
    class Jumping:
        """Each look costs ten seconds."""

        time = 0.0

        def now(self) -> float:
            self.time += 10
            return self.time

        def wall(self) -> float:
            return 0.0

    way.attempts.clock = Jumping()
    way.origin.on("/x").raw(BUSY)
    got = await way.ask(retry={"attempts": 50}, timeouts={"total": 60})
    # Five looks of ten seconds fit: two attempts, and the wait for a third does not.
    assert way.origin.count() == 2
    assert got.status == 503
    assert got.told[-1] == ("5xx", "no-time-left")


async def test_a_deadline_that_passed_while_the_credential_was_awaited(way: Way) -> None:
    class Late:
        time = 0.0

        def now(self) -> float:
            return self.time

        def wall(self) -> float:
            return self.time

    clock = Late()

    async def slow(request: Request, origin: Base) -> Request:
        clock.time += 100
        return request

    way.attempts.clock = clock
    way.stamp.inject = slow  # type: ignore[method-assign]  # one test's injector
    got = await way.ask()
    assert isinstance(got.failure, DeadlineExceededError)
    assert (got.exchange.attempts, way.origin.count()) == ([], 0)


async def test_what_comes_back_is_a_core_response(way: Way) -> None:
    way.origin.on("/x").raw(OK)
    exchange = Exchange(id="1", method="GET", target="/x", started=0.0, at=0.0)
    request = Request(method="GET", target="/x", headers=Headers(), body=Whole())
    response = await way.attempts.send(request, way.route, exchange)
    assert (response.status, response.reason, await response.body.read()) == (200, "OK", b"ok")


async def test_a_call_is_not_left_as_garbage(way: Way) -> None:
    way.origin.on("/x").raw(BUSY).raw(OK)
    with left_behind() as garbage:
        got = await way.ask()
        assert got.status == 200
        del got
    assert "_Trial" not in garbage
