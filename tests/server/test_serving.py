"""One process's side of the port: which sockets it takes calls on, and when it has nothing left to do."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import pytest

from proxy.config.loading import load
from proxy.server.serving import Serving
from proxy.wiring import build
from tests.origin import Origin

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"


def settings(origin: Origin, **server: Any) -> Any:
    given = {
        "server": server,
        "log": {"level": "error"},
        "upstreams": {"up": {"base_url": origin.url, "prefix": "/"}},
    }
    return load(None, given, {}).settings


@pytest.fixture
async def serving(origin: Origin) -> AsyncIterator[Serving]:
    origin.on("/x").reply(200, b"hello")
    whole = settings(origin, drain_timeout="30s")
    opened = Serving(whole, await build(whole), asyncio.get_running_loop())
    yield opened
    await opened.close()


@pytest.fixture
def sockets() -> Iterator[dict[int, socket.socket]]:
    with ExitStack() as stack:
        made = {}
        for number in range(2):
            made[number] = stack.enter_context(socket.socket())
            made[number].bind(("127.0.0.1", 0))
            made[number].listen()
            made[number].setblocking(False)
        yield made


Caller = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def called(listening: socket.socket) -> Caller:
    return await asyncio.open_connection(*listening.getsockname())


async def answered(caller: Caller) -> bytes:
    caller[1].write(GET)
    return await asyncio.wait_for(caller[0].readuntil(b"hello"), 10)


async def test_calls_are_taken_on_the_sockets_it_was_given(
    serving: Serving, sockets: dict[int, socket.socket]
):
    await serving.accept({0: sockets[0]})
    first = await called(sockets[0])
    assert b"200" in await answered(first)
    # Another process's socket is covered, and given back; nobody who waits in it is lost.
    waiting = await called(sockets[1])
    waiting[1].write(GET)
    await serving.accept(sockets)
    assert b"200" in await asyncio.wait_for(waiting[0].readuntil(b"hello"), 10)
    await serving.accept({0: sockets[0]})
    late = await called(sockets[1])
    late[1].write(GET)
    assert b"200" in await answered(first)
    await serving.accept(sockets)
    assert b"200" in await asyncio.wait_for(late[0].readuntil(b"hello"), 10)
    for _, writer in (first, waiting, late):
        writer.close()


async def test_who_still_has_a_connection_gets_one_more_answer(
    serving: Serving, sockets: dict[int, socket.socket]
):
    await serving.accept(sockets)
    callers = [await called(sockets[n]) for n in (0, 1)]
    for caller in callers:
        await answered(caller)
    await serving.accept({})
    serving.drain()
    leaving = asyncio.create_task(serving.left(asyncio.Event()))
    for caller in callers:
        assert not leaving.done()
        assert b"Connection: close" in await answered(caller)
        assert await caller[0].read() == b""
        caller[1].close()
    await asyncio.wait_for(leaving, 10)


async def test_leaving_ends_when_somebody_says_now(serving: Serving, sockets: dict[int, socket.socket]):
    await serving.accept(sockets)
    caller = await called(sockets[0])
    await answered(caller)
    now = asyncio.Event()
    leaving = asyncio.create_task(serving.left(now))
    now.set()
    await asyncio.wait_for(leaving, 10)
    caller[1].close()


async def test_leaving_ends_with_its_time(origin: Origin, sockets: dict[int, socket.socket]):
    whole = settings(origin, drain_timeout="50ms")
    serving = Serving(whole, await build(whole), asyncio.get_running_loop())
    await serving.accept(sockets)
    reader, writer = await called(sockets[0])
    writer.write(b"GET")
    await serving.left(asyncio.Event())
    await serving.close()
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await reader.readexactly(1)
    writer.close()


async def test_a_store_that_has_other_names_now_is_gone_by_them(origin: Origin, tmp_path: Path):
    store = {"cache": {"store": f"disk://{tmp_path / 'cache'}"}}
    whole = load(None, {**store, "upstreams": {"up": {"base_url": origin.url}}}, {}).settings
    serving = Serving(whole, await build(whole), asyncio.get_running_loop())
    first = serving.runtime
    assert first.salt == first.opened.salt
    cast("Any", first.opened.store).behind._folder.salt = b"another one" * 3
    async with asyncio.timeout(10):
        while serving.runtime.salt != b"another one" * 3:  # noqa: ASYNC110 - of what goes on elsewhere
            await asyncio.sleep(0.01)
    assert serving.runtime.opened is first.opened
    await serving.close()
