"""Callers that come, leave and stop reading at random, an origin that does anything: is all well after?"""

import asyncio
from random import Random

import pytest

from proxy.core.caching.policy import CachePolicy
from proxy.core.caching.purge import Purge
from proxy.core.failure import APIError, UnavailableError, UpstreamProtocolError
from proxy.core.message import Body, Request, Response
from tests.core.caching.samples import request, response, route
from tests.gateway.stage import Pipe, Stage, fresh, quiet, settle

ASKED = [
    request(),
    request(),
    request(("Accept", "x")),
    request(("Cache-Control", "no-cache")),
    request(("If-None-Match", '"b"')),
]


class Storm:
    """One seed's weather."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        # Half of them with entries so small that many an answer outgrows them on its way.
        small = CachePolicy(max_entry_bytes=500_000)
        self.stage = Stage(route(small) if seed % 2 else None)
        self.stage.script.extend([self.origin] * 1000)
        self.sources: list[Pipe] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def origin(self, wanted: Request) -> Response:
        chance = self.chance
        for _ in range(chance.randrange(6)):
            await asyncio.sleep(0)
        body = Pipe(*[b"x" * chance.randrange(1, 400_000)] * chance.randrange(9))
        body.put(chance.choice([None, None, None, UpstreamProtocolError("cut")]))
        answers = [
            response(("Cache-Control", "no-store"), body=body),
            fresh(("Vary", "Accept"), body=body),
            response(("Cache-Control", "max-age=1, stale-while-revalidate=9"), body=body),
            fresh(("ETag", '"a"'), body=body),
            fresh(body=body),
            response(status=304) if "if-none-match" in wanted.headers else response(),
            None,
        ]
        answer = chance.choice(answers)
        if answer is None:
            raise UnavailableError
        if answer.body is body:
            self.sources.append(body)
        return answer

    async def caller(self) -> None:
        try:
            answer, _ = await self.stage.ask(self.chance.choice(ASKED))
        except APIError:
            return
        try:
            await self.read(answer.body, self.chance.choice([0, 1, 1000]))
        except APIError:
            return
        finally:
            answer.body.close()

    async def read(self, body: Body, pieces: int) -> None:
        for _ in range(pieces):
            if not await body.read():
                break

    async def blow(self) -> None:
        match self.chance.randrange(12):
            case 0 if self.tasks:
                self.chance.choice(self.tasks).cancel()
            case 1:
                await asyncio.sleep(0)
            case 2:
                self.stage.clock.time += self.chance.choice([0, 1, 5, 70])
            case 3:
                await self.stage.caching.purge(Purge())
            case _:
                self.tasks.append(asyncio.create_task(self.caller()))


@pytest.mark.parametrize("seed", range(60))
async def test_nobody_is_left_waiting_and_nothing_is_left_over(seed: int) -> None:
    before = len(asyncio.all_tasks())
    storm = Storm(seed)
    for _ in range(120):
        await storm.blow()
    for _ in range(300):
        await settle()
    assert all(task.done() for task in storm.tasks)
    assert [task for task in storm.tasks if not task.cancelled() and task.exception()] == []
    assert all(source.closed for source in storm.sources)
    await quiet(storm.stage, before)
