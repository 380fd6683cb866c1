import asyncio
import socket
from pathlib import Path

import pytest

from proxy.config.addresses import address
from proxy.server.desk import AdminPort
from proxy.server.listening import ListenError
from tests.admin.served import Behind


async def test_it_is_open_inside_and_tells_its_address():
    async with AdminPort(Behind().sources(), address("127.0.0.1:0")) as told:
        assert told.startswith("http://127.0.0.1:")
        port = int(told.rpartition(":")[2])
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_a_unix_sockets_file_goes_with_it(folder: Path):
    path = folder / "admin.sock"
    async with AdminPort(Behind().sources(), address(f"unix:{path}")) as told:
        assert told == f"unix:{path}"
        assert path.is_socket()
    assert not path.exists()


async def test_a_taken_port_is_told():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        where = address(f"127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(ListenError, match="another process has it"):
            async with AdminPort(Behind().sources(), where):
                pass
