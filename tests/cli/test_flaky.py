"""Does the demo's API misbehave as it says?"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import aiohttp
import pytest

from proxy.cli.flaky import TOKEN, Flaky, Mood

CALM = {"latency": (0.0, 0.0), "unavailable": 0.0, "dropped": 0.0, "rate": 1000}
Api = Callable[..., AbstractAsyncContextManager[tuple[Flaky, aiohttp.ClientSession]]]


@pytest.fixture
def api() -> Api:
    @asynccontextmanager
    async def started(**mood: Any) -> AsyncIterator[tuple[Flaky, aiohttp.ClientSession]]:
        flaky = Flaky(mood=Mood(**{**CALM, **mood}))
        await flaky.start()
        own = {"Authorization": f"Bearer {TOKEN}"}
        try:
            async with aiohttp.ClientSession(flaky.url, headers=own) as session:
                session._retry_connection = False
                yield flaky, session
        finally:
            await flaky.stop()

    return started


async def test_it_answers_pages_that_say_how_long_they_keep(api: Api) -> None:
    async with api() as (flaky, session):
        for path, kept in [
            ("/products/1", "max-age=30"),
            ("/rates/eur", "max-age=1"),
            ("/orders/1", "no-store"),
        ]:
            async with session.get(path) as response:
                assert response.status == 200
                assert response.headers["Cache-Control"] == kept
        assert flaky.asked == 3
        assert flaky.answered == {200: 3}


async def test_it_wants_the_credential(api: Api) -> None:
    async with api() as (_, session), session.get("/products/1", headers={"Authorization": "-"}) as response:
        assert response.status == 401


async def test_some_requests_fail_on_every_day(api: Api) -> None:
    async with api(unavailable=1.0, rate=0) as (_, session):
        async with session.get("/users/missing") as response:
            assert response.status == 404
            assert (await response.json())["error"]["code"] == "resource_missing"
        async with session.post("/payments") as response:
            assert response.status == 500


async def test_it_is_unavailable(api: Api) -> None:
    async with api(unavailable=1.0) as (_, session), session.get("/products/1") as response:
        assert response.status == 503


async def test_it_drops(api: Api) -> None:
    async with api(dropped=1.0) as (flaky, session):
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await session.get("/products/1")
        assert flaky.answered == {0: 1}


async def test_it_limits(api: Api) -> None:
    async with api(rate=2) as (flaky, session):
        for _ in range(3):
            async with session.get("/products/1") as response:
                last = response
        assert last.status == 429
        assert last.headers["Retry-After"] == "1"
        assert flaky.answered == {200: 2, 429: 1}
