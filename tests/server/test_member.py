"""One of several workers, in this process, with the supervisor's side of its channel in the test's hands."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from proxy.config.loading import load
from proxy.server.channel import Channel, RefusedError
from proxy.server.member import Member
from tests.origin import Origin

LONG = 20.0


class Supervising:
    """What a supervisor hears and says."""

    def __init__(self, data: Mapping[str, Any], shared: Path, listening: socket.socket) -> None:
        self.heard: dict[str, Mapping[str, Any]] = {}
        self.something = asyncio.Event()
        self.channel = Channel(self._hear)
        self.member = Member({"data": data, "workers": 2, "shared": str(shared)}, [listening])
        self.task: asyncio.Task[int] | None = None

    async def _hear(self, what: str, told: Mapping[str, Any]) -> None:
        self.heard[what] = told
        self.something.set()

    async def begin(self) -> None:
        ours, theirs = socket.socketpair()
        await self.channel.open(ours)
        self.task = asyncio.create_task(self.member.run(theirs))
        await self.hear()

    async def hear(self) -> None:
        async with asyncio.timeout(LONG):
            await self.something.wait()
        self.something.clear()

    async def ask(self, what: str, /, **arguments: Any) -> Any:
        return await self.channel.ask(what, timeout=LONG, **arguments)

    async def ended(self) -> int:
        assert self.task is not None
        return await asyncio.wait_for(self.task, LONG)


@pytest.fixture
def listening():
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        made.listen()
        made.settimeout(0)
        yield made


def data(origin: Origin, **upstream: Any) -> Mapping[str, Any]:
    given = {
        "log": {"level": "error"},
        "upstreams": {"up": {"base_url": origin.url, "prefix": "/", **upstream}},
    }
    return load(None, given, {}).data


@pytest.fixture
async def supervising(origin: Origin, tmp_path: Path, listening: socket.socket) -> AsyncIterator[Supervising]:
    origin.on("/x").reply(200, b"hello", headers=[("Cache-Control", "max-age=60")])
    made = Supervising(data(origin), tmp_path, listening)
    await made.begin()
    assert "ready" in made.heard
    yield made
    await made.channel.close()
    assert await made.ended() == 0


async def get(listening: socket.socket) -> bytes:
    reader, writer = await asyncio.open_connection(*listening.getsockname())
    writer.write(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), LONG)
    writer.close()
    return answer


async def test_it_serves_what_it_is_told_to_and_tells_of_it(
    supervising: Supervising, listening: socket.socket
):
    await supervising.ask("accept", sockets=[0])
    assert (await get(listening)).endswith(b"hello")
    assert b"hit" in await get(listening)
    rows = await supervising.ask("requests", limit=10)
    assert [row["cache"] for row in rows] == ["hit", "miss"]
    told = await supervising.ask("status")
    assert [row["requests"] for row in told["status"]["upstreams"]] == [2]
    assert len(told["times"]["up"]) == 2
    names = {family[0] for family in await supervising.ask("figures")}
    assert "leeward_requests" in names
    assert len(await supervising.ask("cache", what={}, limit=10)) == 1
    assert (await supervising.ask("explain", method="GET", path="/x"))["upstream"]
    assert await supervising.ask("forget", what={"tag": "a"}) is True
    assert await supervising.ask("purge", what={}) == 1
    assert (await supervising.ask("calls"))["busy"] is False


async def test_refusals_have_their_kinds(supervising: Supervising):
    for what, arguments, kind in (
        ("purge", {"what": {"upstream": "none"}}, "unknown_upstream"),
        ("explain", {"method": "GET", "path": "x"}, "bad_request"),
        ("dance", {}, "unknown"),
    ):
        with pytest.raises(RefusedError) as refused:
            await supervising.ask(what, **arguments)
        assert refused.value.kind == kind


async def test_retiring_it_says_goodbye(supervising: Supervising, listening: socket.socket):
    await supervising.ask("accept", sockets=[0])
    await get(listening)
    supervising.channel.tell("retire")
    assert await supervising.ended() == 0
    goodbye = supervising.heard["goodbye"]
    assert [row["cache"] for row in goodbye["requests"]] == ["miss"]
    assert goodbye["figures"]


async def test_its_share_of_what_holds_for_all(supervising: Supervising):
    serving = supervising.member._serving
    assert serving is not None
    [route] = serving.runtime.table.routes
    assert route.retry.budget is not None
    assert route.retry.budget.min_per_second == 1


async def test_what_it_cannot_begin_for_is_told(origin: Origin, tmp_path: Path, listening: socket.socket):
    made = Supervising(data(origin, tls={"ca": "/none.pem"}), tmp_path, listening)
    await made.begin()
    assert "/none.pem" in made.heard["failed"]["detail"]
    assert await made.ended() == 1
    await made.channel.close()
