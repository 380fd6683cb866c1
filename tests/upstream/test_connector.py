"""Is an idle connection used again only where nothing stirs on it?"""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.origin import Gate
from tests.upstream.conftest import EVIL, OK, Way


async def test_an_unsolicited_answer_reaches_nobody(way: Way) -> None:
    gate = Gate()
    way.origin.on("/x").raw(OK, gate, EVIL)
    way.origin.on("/next").reply(200, b"mine")
    await way.ask()
    assert way.counts == (0, 1)
    await asyncio.to_thread(gate.reached.wait)
    gate.open()
    time.sleep(0.1)  # noqa: ASYNC251 - the loop gets no chance to see the bytes before the next request
    got = await way.ask("GET", "/next")
    assert got.body == b"mine"
    assert way.origin.hits()[0].connection != way.origin.hits()[1].connection


async def test_connections_are_used_again_the_freshest_first(way: Way) -> None:
    gate = Gate()
    way.origin.on("/slow").raw(gate, OK)
    way.origin.on("/x").raw(OK)
    slow = asyncio.ensure_future(way.ask("GET", "/slow"))
    await asyncio.to_thread(way.origin.wait_for, "/slow")
    await way.ask()
    gate.open()
    await slow
    assert way.counts == (0, 2)
    await way.ask()
    slow_hit, _, last = way.origin.hits()
    assert last.connection == slow_hit.connection
    assert way.origin.accepted() >= 2


async def test_an_idle_connection_is_not_kept_longer_than_the_upstream_keeps_it(way: Way) -> None:
    way.origin.on("/x").raw(OK.replace(b"\r\n\r\n", b"\r\nKeep-Alive: timeout=1\r\n\r\n"))
    await way.ask()
    await way.ask()
    first, second = way.origin.hits()
    assert first.connection != second.connection


@pytest.mark.parametrize("version", [b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 200 OK\r\nConnection: close\r\n"])
async def test_a_connection_that_is_to_be_closed_is_closed(way: Way, version: bytes) -> None:
    way.origin.on("/x").raw(version + b"Content-Length: 2\r\n\r\nok", then="hold")
    assert (await way.ask()).body == b"ok"
    assert way.counts == (0, 0)


async def test_a_post_finds_a_closed_idle_connection_before_it_writes(way: Way) -> None:
    way.origin.on("/x").raw(OK, then="close").raw(OK)
    for _ in range(3):
        got = await way.ask("POST", body=b"pay")
        time.sleep(0.05)  # noqa: ASYNC251 - the end arrives, but the loop has no chance to see it
        assert (got.body, len(got.exchange.attempts)) == (b"ok", 1)
    assert way.origin.count() == 3
