import asyncio
import json
import urllib.request
from contextlib import suppress
from typing import Any, cast

import pytest

from proxy.server.crew import StartError
from proxy.server.listening import sockets
from proxy.server.supervisor import NurseryLostError, Supervisor
from tests.server.crewing import Nursery, loaded


class Supervised:
    def __init__(self, count: int = 2) -> None:
        self.loaded = loaded(listen="127.0.0.1:0", admin="127.0.0.1:0", workers=count)
        self.nursery = Nursery()
        self.rows = sockets(self.loaded.settings.server.listen, count)
        self.told: asyncio.Future[tuple[str, str]] = asyncio.get_running_loop().create_future()
        self.supervisor = Supervisor(
            self.loaded,
            cast("Any", self.nursery),
            self.rows,
            order=lambda _loaded: {},
            ready=lambda proxy, admin: self.told.set_result((proxy, admin)),
            again=lambda: self.loaded,
        )
        self.task = asyncio.create_task(self.supervisor.run())

    async def ask(self, path: str, data: bytes | None = None) -> tuple[int, Any]:
        _, admin = await self.told

        def asked() -> tuple[int, Any]:
            wanted = urllib.request.Request(admin + path, data, {"Content-Type": "application/json"})
            try:
                with urllib.request.urlopen(wanted, timeout=10) as answer:
                    return answer.status, json.load(answer)
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, json.load(error)

        return await asyncio.to_thread(asked)

    async def close(self) -> None:
        self.supervisor.drain()
        self.supervisor.drain()
        with suppress(StartError, NurseryLostError):
            await asyncio.wait_for(self.task, 20)
        for row in self.rows:
            for own in row:
                own.close()


@pytest.fixture
async def supervised():
    made = Supervised()
    yield made
    await made.close()


async def test_ready_is_said_when_all_serve(supervised: Supervised):
    proxy, _ = await supervised.told
    assert proxy == f"http://127.0.0.1:{supervised.rows[0][0].getsockname()[1]}"
    told = {"ready": True, "draining": False, "workers": {"serving": 2, "wanted": 2}}
    assert await supervised.ask("/readyz") == (200, told)


async def test_a_reload_replaces_everybody(supervised: Supervised):
    await supervised.told
    assert await supervised.ask("/api/v1/reload", b"{}") == (200, {"reloaded": True})
    assert len(supervised.nursery.workers) == 4
    supervised.nursery.wrong = ["no certificate"]
    status, answer = await supervised.ask("/api/v1/reload", b"{}")
    assert (status, answer["problems"]) == (422, ["no certificate"])
    assert (await supervised.ask("/readyz"))[0] == 200


async def test_draining_ends_everybody(supervised: Supervised):
    await supervised.told
    assert (await supervised.ask("/api/v1/drain", b"{}"))[0] == 202
    await asyncio.wait_for(supervised.task, 20)
    assert supervised.nursery.living == []
    assert all("drain" in worker.told for worker in supervised.nursery.workers)


async def test_where_no_worker_answers_the_port_says_so(supervised: Supervised):
    await supervised.told
    supervised.nursery.wrong = ["not now"] * 100
    for worker in supervised.nursery.living:
        await supervised.nursery.kill(worker)
    while supervised.supervisor._crew.ready:
        await supervised.ask("/healthz")
    assert (await supervised.ask("/readyz"))[0] == 503
    status, answer = await supervised.ask("/api/v1/cache")
    assert (status, answer["error"]) == (503, "no_worker")


async def test_without_its_nursery_it_ends_with_an_error(supervised: Supervised):
    await supervised.told
    supervised.nursery.ended.set()
    with pytest.raises(NurseryLostError):
        await asyncio.wait_for(supervised.task, 20)


async def test_workers_that_cannot_begin_end_the_start():
    made = Supervised()
    made.nursery.wrong = [None, "no certificate"]
    with pytest.raises(StartError, match="no certificate"):
        await asyncio.wait_for(made.task, 20)
    await made.close()
