import asyncio
import socket

import pytest

from proxy.config.addresses import address
from proxy.server.listening import SPREADS, ListenError, another, bound, listen, named, sockets


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


def test_each_worker_has_sockets_of_its_own_on_one_port():
    rows = sockets(address("127.0.0.1:0"), 3)
    try:
        assert len({row[0].getsockname() for row in rows}) == 1
        assert len({id(row[0]) for row in rows}) == (3 if SPREADS else 1)
        assert named(rows[0][0], address("127.0.0.1:0"), tls=True).startswith("https://127.0.0.1:")
        rows.append(another(rows[0]))
        assert rows[3][0].getsockname() == rows[0][0].getsockname()
        listening = [row[0].getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) for row in rows]
        assert listening == [1, 1, 1, 0 if SPREADS else 1]
        # What could be shared is not taken from somebody else.
        with pytest.raises(ListenError, match="another process has it"):
            sockets(address(f"127.0.0.1:{rows[0][0].getsockname()[1]}"), 2)
    finally:
        for row in rows:
            row[0].close()


def test_a_unix_socket_is_one_for_all(folder):
    where = address(f"unix:{folder}/s")
    rows = sockets(where, 2)
    with rows[0][0]:
        assert rows[0][0] is rows[1][0] is another(rows[0])[0]
        assert named(rows[0][0], where, tls=False) == f"unix:{folder}/s"
        with pytest.raises(ListenError, match="another process has it"):
            sockets(where, 2)


def test_a_name_is_listened_on_at_all_its_addresses():
    rows = sockets(address("localhost:0"), 2)
    try:
        assert len(rows[0]) == len({own.family for own in rows[0]})
        assert len(rows[0]) == len(rows[1])
    finally:
        for own in {own for row in rows for own in row}:
            own.close()
