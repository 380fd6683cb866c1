import asyncio
import socket

import pytest

from proxy.config.addresses import address
from proxy.server.listening import ListenError, bound, listen


async def test_a_free_port_is_given_and_told():
    server = await listen(asyncio.Protocol, address("127.0.0.1:0"))
    try:
        port = server.sockets[0].getsockname()[1]
        assert port
        assert bound(server, address("127.0.0.1:0"), tls=False) == f"http://127.0.0.1:{port}"
        assert bound(server, address("127.0.0.1:0"), tls=True) == f"https://127.0.0.1:{port}"
    finally:
        server.close()


async def test_ipv6_is_written_in_brackets():
    server = await listen(asyncio.Protocol, address("[::1]:0"))
    try:
        assert bound(server, address("[::1]:0"), tls=False).startswith("http://[::1]:")
    finally:
        server.close()


async def test_a_port_in_use_is_told():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ListenError, match=f"{where}: another process has it"):
            await listen(asyncio.Protocol, address(where))


async def test_an_address_that_the_machine_does_not_have():
    with pytest.raises(ListenError, match="no such address"):
        await listen(asyncio.Protocol, address("192.0.2.1:0"))


async def test_a_unix_socket(folder):
    path = folder / "s"
    server = await listen(asyncio.Protocol, address(f"unix:{path}"))
    try:
        assert path.is_socket()
        assert bound(server, address(f"unix:{path}"), tls=False) == f"unix:{path}"
        with pytest.raises(ListenError, match="another process has it"):
            await asyncio.wait_for(listen(asyncio.Protocol, address(f"unix:{path}")), 5)
    finally:
        server.close()


async def test_what_a_dead_process_left_is_taken_over(folder):
    path = folder / "s"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    server = await listen(asyncio.Protocol, address(f"unix:{path}"))
    server.close()


async def test_no_other_file_is_ever_removed(folder):
    path = folder / "s"
    path.write_text("precious")
    with pytest.raises(ListenError, match="no socket"):
        await listen(asyncio.Protocol, address(f"unix:{path}"))
    assert path.read_text() == "precious"


async def test_a_folder_that_is_not_there(folder):
    with pytest.raises(ListenError):
        await listen(asyncio.Protocol, address(f"unix:{folder}/none/s"))
