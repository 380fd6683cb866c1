"""Who takes calls from which sockets, and who takes whose place."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest

from proxy.server.crew import Crew, StartError
from tests.server.crewing import NO_PROCESS, Nursery, loaded


class Crewed:
    def __init__(self) -> None:
        self.nursery = Nursery()
        self.rows = [[socket.socket()] for _ in range(3)]
        self.restarts = 0
        self.crew = Crew(
            cast("Any", self.nursery),
            self.rows,
            order=lambda _loaded: {"shared": "/somewhere"},
            restarted=self._restarted,
        )

    def _restarted(self) -> None:
        self.restarts += 1

    async def begin(self, count: int = 3) -> None:
        await self.crew.replace(loaded(), count, self.rows)

    def covered(self) -> list[list[int]]:
        return [worker.sockets for worker in self.nursery.living]

    async def close(self) -> None:
        await self.crew.close()
        for row in self.rows:
            row[0].close()


@pytest.fixture
async def crewed() -> AsyncIterator[Crewed]:
    made = Crewed()
    yield made
    await made.close()


async def until(told: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not told():  # noqa: ASYNC110 - of what goes on elsewhere
            await asyncio.sleep(0.001)


async def test_each_has_a_socket_of_its_own(crewed: Crewed):
    await crewed.begin()
    await until(lambda: crewed.covered() == [[0], [1], [2]])
    assert (crewed.crew.ready, crewed.crew.wanted) == (3, 3)
    assert crewed.nursery.workers[0].order == {"shared": "/somewhere", "workers": 3}


async def test_a_missing_one_is_covered_for_and_replaced(crewed: Crewed):
    await crewed.begin()
    crewed.nursery.wrong = ["not now"]
    victim = crewed.nursery.workers[1]
    await crewed.nursery.kill(victim)
    await until(lambda: crewed.covered() == [[0, 1], [2]])
    await until(lambda: crewed.covered() == [[0], [2], [1]])
    assert (crewed.crew.ready, crewed.restarts) == (3, 1)


async def test_where_no_process_can_be_made_it_is_tried_again(crewed: Crewed):
    await crewed.begin()
    old = crewed.nursery.living
    crewed.nursery.wrong = [None, NO_PROCESS]
    with pytest.raises(StartError, match="no further process"):
        await crewed.begin()
    assert all(worker in crewed.nursery.living for worker in old)
    crewed.nursery.wrong = [NO_PROCESS]
    await crewed.nursery.kill(old[0])
    await until(lambda: crewed.crew.ready == 2)
    await until(lambda: crewed.crew.ready == 3)


async def test_who_has_told_its_last_is_counted_once(crewed: Crewed):
    await crewed.begin(2)
    leaving, other = crewed.nursery.workers
    for worker in (leaving, other):
        samples = [["leeward_requests_total", {"upstream": "api", "cache": "hit"}, 3]]
        worker.figures = [["leeward_requests", "counter", "Requests.", samples]]
    leaving.channel.tell("goodbye", figures=leaving.figures, requests=[])
    await crewed.crew.calls()  # what was told before has arrived

    async def page() -> bytes:
        return (await crewed.crew.gathering.exposition("", []))[0]

    assert b'leeward_requests_total{cache="hit",upstream="api"} 6.0' in await page()
    await leaving.end(0)
    await until(lambda: crewed.crew.ready == 1 or len(crewed.nursery.workers) == 3)
    assert b'leeward_requests_total{cache="hit",upstream="api"} 6.0' in await page()


async def test_fewer_workers_take_the_calls_of_all_sockets(crewed: Crewed):
    await crewed.begin()
    await crewed.begin(2)
    await until(lambda: crewed.covered() == [[0, 2], [1]])
    assert (crewed.crew.ready, crewed.crew.wanted, crewed.restarts) == (2, 2, 0)


async def test_one_socket_for_all_is_covered_by_whoever_is_there(crewed: Crewed):
    shared = [crewed.rows[0]] * 2
    await crewed.crew.replace(loaded(), 2, shared)
    await until(lambda: crewed.covered() == [[0], [1]])
    crewed.nursery.wrong = ["not now"] * 100
    await crewed.nursery.kill(crewed.nursery.workers[0])
    await until(lambda: len(crewed.nursery.workers) > 3)
    assert [sockets for sockets in crewed.covered() if sockets] == [[1]]


async def test_a_new_crew_takes_over_whole_and_the_old_one_retires(crewed: Crewed):
    await crewed.begin()
    old = crewed.nursery.living
    await crewed.begin()
    await until(lambda: len(crewed.nursery.living) == 3)
    assert all(worker.told[-1] == "retire" for worker in old)
    assert crewed.restarts == 0


async def test_where_one_cannot_begin_nothing_changes(crewed: Crewed):
    await crewed.begin()
    old = crewed.nursery.living
    crewed.nursery.wrong = [None, "no certificate"]
    with pytest.raises(StartError, match="no certificate"):
        await crewed.begin()
    assert all(worker in crewed.nursery.living for worker in old)
    assert all("retire" not in worker.told for worker in old)
    assert not any(worker.sockets for worker in crewed.nursery.workers[3:])


async def test_one_that_ends_before_it_is_ready_is_told(crewed: Crewed):
    crewed.nursery.wrong = [None, "never mind"]

    async def forked(order: bytes, sockets: Any) -> int:
        pid = await Nursery.fork(crewed.nursery, order, sockets)
        crewed.nursery.workers[-1].channel.tell("figures", figures=[])
        return pid

    cast("Any", crewed.nursery).fork = forked
    with pytest.raises(StartError):
        await crewed.begin()


async def test_nobody_is_replaced_at_the_end(crewed: Crewed):
    await crewed.begin()
    crewed.crew.closing()
    await crewed.nursery.kill(crewed.nursery.workers[0])
    await until(lambda: crewed.crew.ready == 2)
    assert len(crewed.nursery.workers) == 3
    assert await crewed.crew.calls() == (False, 0)
    await crewed.crew.close()
    assert crewed.nursery.living == []
