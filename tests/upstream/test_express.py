"""Is an answer handed on as it came, or handed over with every byte, and is nothing sent twice?"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import cast

import pytest

from proxy.core.failure import DeadlineExceededError, UpstreamProtocolError, UpstreamTimeoutError
from proxy.core.message import Response
from proxy.upstream.express import Express, Row
from proxy.upstream.wire import Wire
from tests.gateway.hours import lived
from tests.origin import Gate
from tests.upstream.conftest import HEAD, OK, Way, whole
from tests.upstream.riding import OTHER_TRACE, SECRET, Rider, Riding, ended, full, told
from tests.upstream.test_restrained import Doorkeeper

# An answer that is plain


async def test_a_whole_answer_is_handed_on_at_once(way: Way) -> None:
    riding = Riding(way)
    riding.on().raw(HEAD + b"X-A: 1\r\nContent-Length: 2\r\n\r\nok")
    express, rider = await riding.sent()
    assert way.counts == (1, 0)
    assert await told(rider) == ["wants", "gets"]
    assert rider.answer is not None
    assert (rider.answer.lines, rider.body) == ((b"X-A: 1",), b"ok")
    assert (express.taken, way.counts) == (True, (0, 1))
    express.drop()  # which has nothing to say any more
    assert way.counts == (0, 1)
    assert riding.hits() == [express.sent]
    assert riding.hits()[0].count(b"X-Request-Id: two\r\n") == 1
    assert riding.hits()[0].count(b"traceparent: " + OTHER_TRACE.encode()) == 1


async def test_the_connection_serves_on_whoever_asks_next(way: Way) -> None:
    riding = Riding(way)
    riding.on().raw(OK).raw(HEAD + b"Content-Length: 5\r\nKeep-Alive: timeout=9\r\n\r\nagain").raw(OK)
    template = await riding.warm()
    for content in (b"ok", b"again"):
        rider = Rider()
        riding.send(template, rider)
        await told(rider)
        assert rider.body == content
    got = await way.ask(injector=riding.token)
    assert (got.status, got.body, way.counts) == (200, b"ok", (0, 1))
    assert len({hit.connection for hit in way.origin.hits("/x")}) == 1


async def test_a_body_that_comes_later_is_read_to_its_end(way: Way) -> None:
    riding = Riding(way)
    gates = [Gate(), Gate()]
    riding.on().raw(HEAD + b"Content-Length: 9\r\n\r\nabc", gates[0], b"def", gates[1], b"ghi")
    _, rider = await riding.sent()
    assert await told(rider) == ["wants", "reads"]
    assert rider.response is not None
    assert (rider.response.status, rider.response.body.length) == (200, 9)
    reading = asyncio.create_task(whole(rider.response))
    for gate in gates:
        await asyncio.to_thread(gate.reached.wait)
        gate.open()
    assert await reading == b"abcdefghi"
    assert way.counts == (0, 1)
    riding.on().raw(OK)
    assert (await way.ask(injector=riding.token)).status == 200


async def test_a_large_body_makes_the_upstream_wait_for_its_reader(way: Way) -> None:
    riding = Riding(way)
    size = 8 * 1024 * 1024
    riding.on().flood(size)
    express, rider = await riding.sent()
    await told(rider)
    assert rider.response is not None
    await asyncio.to_thread(way.origin.wait_for, "/x")
    await full(express)
    payload = express.wire.answer[1] if express.wire.answer is not None else None
    assert payload is not None
    assert payload._size < 1024 * 1024
    assert len(await whole(rider.response)) == size
    assert way.counts == (0, 1)


@pytest.mark.parametrize("then", ["close", "reset"])
async def test_a_body_that_breaks_off_is_never_whole(way: Way, then: str) -> None:
    riding = Riding(way)
    gate = Gate()
    riding.on().raw(HEAD + b"Content-Length: 9\r\n\r\nabc", gate, b"def", then=then)  # type: ignore[arg-type]
    _, rider = await riding.sent()
    await told(rider)
    assert rider.response is not None
    gate.open()
    with pytest.raises(UpstreamProtocolError):
        await whole(rider.response)
    assert way.counts == (0, 0)


async def test_a_body_that_is_given_up_takes_its_connection_along(way: Way) -> None:
    riding = Riding(way)
    riding.on().raw(HEAD + b"Content-Length: 9\r\n\r\nabc", Gate())
    _, rider = await riding.sent()
    await told(rider)
    assert rider.response is not None
    rider.response.body.close()
    assert way.counts == (0, 0)


async def test_a_body_that_stays_silent_or_takes_too_long_breaks_off(way: Way) -> None:
    for timeouts, failure in (
        ({"idle": 0.05}, UpstreamTimeoutError),
        ({"total": 0.05}, DeadlineExceededError),
    ):
        riding = Riding(way, timeouts=timeouts)
        riding.on().raw(HEAD + b"Content-Length: 9\r\n\r\nabc", Gate())
        _, rider = await riding.sent()
        await told(rider)
        assert rider.response is not None
        with pytest.raises(failure):
            await whole(rider.response)
        assert way.counts == (0, 0)


# The time for it


class Waiting:
    """One of a row; `done` is who was woken, and when."""

    def __init__(self, done: list[tuple[int, float]], number: int) -> None:
        self.done = done
        self.number = number

    def expired(self) -> None:
        self.done.append((self.number, round(asyncio.get_running_loop().time(), 3)))


def test_a_row_wakes_each_in_its_time_and_nobody_who_has_left() -> None:
    async def life() -> None:
        loop = asyncio.get_running_loop()
        row, done, start = Row(5.0, loop), list[tuple[int, float]](), loop.time()
        ones = cast("list[Express]", [Waiting(done, number) for number in range(5)])
        for one in ones[:4]:
            assert row.join(one) == loop.time() + 5
            await asyncio.sleep(1)
        row.leave(ones[1])
        row.leave(ones[1])
        await asyncio.sleep(10)
        assert done == [(0, start + 5), (2, start + 7), (3, start + 8)]
        assert (row._waiting, row._timer) == ({}, None)
        row.join(ones[4])
        await asyncio.sleep(10)
        assert done[3:] == [(4, start + 19)]

    lived(life())


# What becomes of its permit, and of one that nobody wants any more


async def test_its_permit_ends_with_it(way: Way) -> None:
    door = Doorkeeper()
    riding = Riding(way)
    riding.on().raw(OK).raw(HEAD + b"X-RateLimit-Remaining: 5\r\nContent-Length: 0\r\n\r\n")
    template = await riding.warm()
    door.base = riding.route.origins[0]
    way.attempts.restraint = door
    for word in ("well 200 None", "well 200 5"):
        rider = Rider()
        riding.send(template, rider)
        await told(rider)
        assert door.seen.pop() == word


async def test_its_permit_goes_on_with_who_takes_over(way: Way) -> None:
    door = Doorkeeper()
    riding = Riding(way)
    riding.on().raw(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")
    template = await riding.warm()
    door.base = riding.route.origins[0]
    way.attempts.restraint = door
    rider = Rider()
    express = riding.send(template, rider)
    await told(rider)
    response, _ = await riding.take_over(express)
    response.body.close()
    assert door.seen == ["at once", "404"]


async def test_who_has_another_credential_by_now_sends_anew_with_the_same_permit(way: Way) -> None:
    door = Doorkeeper()
    riding = Riding(way)
    riding.on().raw(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n").raw(OK)
    template = await riding.warm()
    door.base = riding.route.origins[0]
    way.attempts.restraint = door
    rider = Rider()
    express = riding.send(template, rider)
    await told(rider)
    riding.token.secret = "another"
    response, _ = await riding.take_over(express)
    assert await whole(response) == b"ok"
    assert [SECRET.encode() in sent for sent in riding.hits()] == [True, False]
    assert door.seen == ["at once", "200"]
    assert way.counts == (0, 1)


@pytest.mark.parametrize("when", ["silent", "held", "lost"])
async def test_one_that_is_dropped_leaves_nothing(way: Way, when: str) -> None:
    door = Doorkeeper()
    riding = Riding(way)
    gate = Gate()
    {"silent": riding.on().never, "held": lambda: riding.on().raw(b"HTTP", gate), "lost": riding.on().drop}[
        when
    ]()
    template = await riding.warm()
    door.base = riding.route.origins[0]
    way.attempts.restraint = door
    rider = Rider()
    express = riding.send(template, rider)
    await asyncio.to_thread(way.origin.wait_for, "/x")
    if when != "silent":
        await told(rider)
    seen = list(rider.seen)
    express.drop()
    express.drop()
    assert (door.seen, way.counts) == (["at once", "left"], (0, 0))
    await asyncio.to_thread(way.origin.wait_closed, way.origin.hits("/x")[0])
    await ended(express)
    assert rider.seen == seen
    # Whoever takes over too late sends anew.
    riding.on().raw(OK)
    way.attempts.restraint = None
    response, _ = await riding.take_over(express)
    assert response.status == 200
    response.body.close()


@pytest.mark.parametrize("dropped", [False, True])
async def test_a_session_that_closes_waits_for_nobody(way: Way, dropped: bool) -> None:
    riding = Riding(way)
    riding.on().never()
    express, rider = await riding.sent()
    if not dropped:
        rider.missed = express.drop  # type: ignore[method-assign]
    async with asyncio.timeout(10):
        closing = asyncio.create_task(way.session.close())
        await asyncio.sleep(0)
        if dropped:
            express.drop()
        await closing
    assert express.taken


async def test_what_cannot_be_written_is_not_begun(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    riding = Riding(way)
    template = await riding.warm()
    door = way.attempts.restraint = Doorkeeper()

    def broken(_: object, __: bytes) -> None:
        raise ConnectionResetError

    monkeypatch.setattr(Wire, "write", broken)
    assert riding.expresses.send(template, b"two", OTHER_TRACE.encode(), 0.0, Rider()) is None
    assert (door.seen, way.counts) == (["at once", "left"], (0, 0))
    assert not template.row._waiting


async def test_nothing_shows_the_credential(way: Way) -> None:
    riding = Riding(way)
    riding.on().raw(OK)
    express, rider = await riding.sent()
    await told(rider)
    assert SECRET.encode() in express.sent
    shown = f"{express!r} {express._template!r} {express.wire!r} {rider.answer!r} {express._template.row!r}"
    assert SECRET not in shown
    assert SECRET not in repr(replace(express._template, again=True))


async def test_a_response_that_is_read_is_the_permits(way: Way) -> None:
    """Its place is free only behind its body."""
    door = Doorkeeper()
    riding = Riding(way)
    gate = Gate()
    riding.on().raw(HEAD + b"Content-Length: 4\r\n\r\nab", gate, b"cd")
    template = await riding.warm()
    door.base = riding.route.origins[0]
    way.attempts.restraint = door
    rider = Rider()
    riding.send(template, rider)
    await told(rider)
    assert door.seen == ["at once", "200"]
    assert isinstance(rider.response, Response)
    gate.open()
    assert await whole(rider.response) == b"abcd"
