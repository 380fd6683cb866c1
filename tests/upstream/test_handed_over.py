"""Does the long way hear all of what began without it, from the beginning, and send nothing twice?"""

from __future__ import annotations

import asyncio

import pytest

from proxy.core.dialect import Dialect
from proxy.core.dialect import Row as Doubt
from proxy.core.failure import APIError, UpstreamProtocolError, UpstreamTimeoutError
from tests.origin import Flood, Gate
from tests.upstream.conftest import HEAD, OK, ONCE, Way, whole
from tests.upstream.riding import Rider, Riding, full, told

NEVER = {"methods": frozenset[str](), "attempts": 3}
NOT_PLAIN: dict[str, tuple[bytes, int, bytes]] = {
    "chunked": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200, b"ok"),
    "a failure": (b"HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno", 404, b"no"),
    "a redirect": (b"HTTP/1.1 302 Found\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n", 302, b""),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
    "unchanged": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304, b""),
    "an interim answer before": (b"HTTP/1.1 103 Hints\r\nLink: </a>\r\n\r\n" + OK, 200, b"ok"),
    "an odd head": (HEAD + b"X-A:  a\t\r\nContent-Length: 2\r\n\r\nok", 200, b"ok"),
}


@pytest.mark.parametrize("pause", [False, True])
@pytest.mark.parametrize("name", NOT_PLAIN)
async def test_what_is_not_plain_is_handed_over_with_every_byte(way: Way, name: str, pause: bool) -> None:
    riding = Riding(way)
    raw, status, body = NOT_PLAIN[name]
    rest = Gate()
    half = raw.index(b"\r\n") + 9
    riding.on().raw(*([raw[:half], rest, raw[half:]] if pause else [raw]))
    express, rider = await riding.sent()
    assert await told(rider) == ["missed"]
    taking = asyncio.create_task(riding.take_over(express))
    rest.open()
    response, exchange = await taking
    assert (response.status, await whole(response)) == (status, body)
    assert [(one.status, one.started) for one in exchange.attempts] == [(status, express.since)]
    assert riding.hits() == [express.sent]
    assert (express.taken, way.counts) == (True, (0, 1))


@pytest.mark.parametrize("cut", range(1, len(OK) - 2, 7))
async def test_a_head_in_pieces_is_handed_over(way: Way, cut: int) -> None:
    riding = Riding(way)
    gate = Gate()
    riding.on().raw(OK[:cut], gate, OK[cut:])
    express, rider = await riding.sent()
    assert await told(rider) == ["missed"]
    gate.open()
    response, _ = await riding.take_over(express)
    assert (response.status, await whole(response)) == (200, b"ok")
    assert (riding.hits(), way.counts) == ([express.sent], (0, 1))


async def test_what_nobody_wants_as_it_is_goes_the_long_way(way: Way) -> None:
    riding = Riding(way)
    riding.on().raw(OK)
    express, rider = await riding.sent(wanting=False)
    assert await told(rider) == ["wants", "missed"]
    response, _ = await riding.take_over(express)
    assert (await whole(response), riding.hits()) == (b"ok", [express.sent])


async def test_what_its_dialect_doubts_goes_the_long_way(way: Way) -> None:
    riding = Riding(way, dialect=Dialect(rows=(Doubt(kind=APIError, statuses=frozenset({200})),)))
    riding.on().raw(OK)
    express, rider = await riding.sent()
    assert await told(rider) == ["missed"]
    express.drop()
    assert way.counts == (0, 0)


async def test_what_comes_while_nobody_has_taken_over_is_bounded(way: Way) -> None:
    riding = Riding(way)
    size = 8 * 1024 * 1024
    riding.on().raw(HEAD + b"X-Odd:\tv\r\nContent-Length: %d\r\n\r\n" % size, Flood(size))
    express, rider = await riding.sent()
    assert await told(rider) == ["missed"]
    await full(express)
    assert 0 < express._size < 1024 * 1024
    response, _ = await riding.take_over(express)
    assert len(await whole(response)) == size
    assert (len(riding.hits()), way.counts) == (1, (0, 1))


# A connection that is lost


async def test_one_that_dies_before_a_byte_is_sent_once_more_on_a_new_connection(way: Way) -> None:
    riding = Riding(way)
    rider = Rider()
    template = await riding.warm(idle=3)
    riding.on().drop().raw(OK)
    express = riding.send(template, rider)
    assert await told(rider) == ["missed"]
    before = {hit.connection for hit in way.origin.hits()}
    response, exchange = await riding.take_over(express)
    assert (await whole(response), len(exchange.attempts)) == (b"ok", 1)
    assert riding.hits() == [express.sent] * 2
    assert way.origin.hits("/x")[1].connection > max(before), "neither of the other idle ones"
    assert way.counts == (0, 3)


async def test_the_second_time_is_the_last(way: Way) -> None:
    riding = Riding(way, retry=ONCE)
    rider = Rider()
    template = await riding.warm(idle=3)
    riding.on().drop()
    express = riding.send(template, rider)
    await told(rider)
    with pytest.raises(UpstreamProtocolError):
        await riding.take_over(express)
    assert riding.hits() == [express.sent] * 2


async def test_one_that_may_not_be_repeated_is_not(way: Way) -> None:
    riding = Riding(way, retry=NEVER)
    riding.on().drop().raw(OK)
    express, rider = await riding.sent()
    assert await told(rider) == ["missed"]
    with pytest.raises(UpstreamProtocolError):
        await riding.take_over(express)
    assert riding.hits() == [express.sent]


@pytest.mark.parametrize("then", ["close", "reset"])
@pytest.mark.parametrize("begun", [b"H", b"HTTP/1.1 200 OK\r\nX-A: 1\r\n", HEAD + b"Content-Length: 2"])
async def test_one_that_dies_within_the_head_is_a_failure(way: Way, begun: bytes, then: str) -> None:
    riding = Riding(way, retry=ONCE)
    riding.on().raw(begun, then=then)  # type: ignore[arg-type]
    express, rider = await riding.sent()
    assert await told(rider) == ["missed"]
    with pytest.raises(UpstreamProtocolError):
        await riding.take_over(express)
    assert (riding.hits(), way.counts) == ([express.sent], (0, 0))


async def test_a_failure_is_repeated_as_the_policy_says(way: Way) -> None:
    riding = Riding(way, retry={"attempts": 2})
    riding.on().raw(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n").raw(OK)
    express, rider = await riding.sent()
    assert await told(rider) == ["missed"]
    response, exchange = await riding.take_over(express)
    assert (await whole(response), [one.status for one in exchange.attempts]) == (b"ok", [503, 200])
    assert len(riding.hits()) == 2


# One that takes too long


async def test_an_answer_that_does_not_come_in_time_is_one_that_timed_out(way: Way) -> None:
    riding = Riding(way, retry=ONCE, timeouts={"attempt": 0.05})
    riding.on().never()
    express, rider = await riding.sent()
    assert await told(rider) == ["missed"]
    with pytest.raises(UpstreamTimeoutError) as failure:
        await riding.take_over(express)
    assert failure.value.sent
    assert (riding.hits(), way.counts) == ([express.sent], (0, 0))


async def test_the_wait_goes_on_where_it_was(way: Way) -> None:
    riding = Riding(way, retry=ONCE, timeouts={"attempt": 0.2})
    riding.on().raw(b"HTTP/1.1 2", Gate())
    express, rider = await riding.sent()
    await told(rider)
    loop = asyncio.get_running_loop()
    taking = asyncio.create_task(riding.take_over(express))
    await asyncio.sleep(0)
    with pytest.raises(UpstreamTimeoutError):
        await taking
    assert loop.time() < express._due + 0.15
