"""What do the tests of the Redis store stand on: servers, and stores that are closed in the end?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from proxy.core.resilience.breaker import BreakerPolicy
from proxy.stores.codec import boot
from proxy.stores.redis.address import RedisAddress
from proxy.stores.redis.clients import client
from proxy.stores.redis.store import RedisStore
from tests.origin import PATIENCE
from tests.stores.contract import Hands, Made
from tests.stores.redis.servers import RedisServer, Relay

# Where a test asks about something else, a busy machine is not taken for a slow Redis.
CALM = {
    "patience": 20.0,
    "timeout": 10.0,
    "slow": 10.0,
    "policy": BreakerPolicy(min_requests=5, window=10.0, open_for=0.1),
}

BOOT = boot()
Open = Callable[..., Any]


@pytest.fixture(scope="session")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def server(_server: RedisServer) -> RedisServer:
    """An empty one, shared by all tests that do not hurt it."""
    _server.ask("FLUSHALL")
    return _server


@pytest.fixture
async def opened() -> AsyncIterator[Open]:
    """Opens a store at an address, on a clock that is turned by hand unless another is given."""
    stores: list[RedisStore] = []

    async def open_(
        address: RedisAddress, *, clock: Any = None, connections: int = 4, **options: Any
    ) -> Made:
        made = Made(store=None, clock=clock or Hands())  # type: ignore[arg-type] # set below
        options = {**CALM, "on_evict": made.evicted.append, "boot": BOOT, **options}
        store = RedisStore(
            client(address, timeout=options["timeout"], connections=connections),
            client(address, timeout=max(1.0, options["timeout"]), connections=1),
            made.clock,
            where="a test",
            **options,
        )
        made.store = store
        stores.append(store)
        await store.open()
        return made

    yield open_
    for store in stores:
        await store.close()


def at(server: RedisServer | Relay) -> RedisAddress:
    return RedisAddress(hosts=(("127.0.0.1", server.port),))


async def until(true: Callable[[], object]) -> None:
    """Waits for something that comes by itself."""
    limit = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < limit, "it does not come"
        await asyncio.sleep(0.005)
