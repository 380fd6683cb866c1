import pytest

from tests.stores.contract import Made, Make, SharedContract
from tests.stores.redis.conftest import Open, at
from tests.stores.redis.servers import RedisServer


class TestContract(SharedContract):
    bounded = False

    @pytest.fixture
    def made(self, server: RedisServer, opened: Open) -> Make:
        offsets: list[float] = []

        async def make(*, max_bytes: int = 1 << 30, max_entry_bytes: int = 1 << 16) -> Made:
            del max_bytes
            given: Made = await opened(at(server), max_entry_bytes=max_entry_bytes)
            # As the hands of all stand still, all are off by the same.
            offsets.append(given.store.log._offset)  # type: ignore[attr-defined]
            given.store.log._offset = offsets[0]  # type: ignore[attr-defined]
            return given

        return make


async def test_a_salt_that_is_another_one_now_is_the_one_to_go_by(server: RedisServer, opened: Open) -> None:
    """Redis had lost its data, and a program that knew nothing of the earlier one came first."""
    one = (await opened(at(server))).store
    server.ask("SET", one._names.salt, b"o" * 32)
    await one._refresh()
    assert (one.salt, one.trouble) == (b"o" * 32, None)
