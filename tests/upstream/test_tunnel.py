"""What is a connection that has switched protocols: whole, one's own, and ended once?"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.core.failure import UpstreamProtocolError
from proxy.core.message import Headers, Request, Response, Whole
from proxy.core.routing import Origin as Base
from proxy.core.routing import Timeouts
from proxy.upstream.session import Call, Session
from proxy.upstream.tunnel import Tunnel
from tests.origin import PATIENCE
from tests.upstream.certificates import client_side, server_side
from tests.websocket import KEY, Asked, Upstream, accept, hang_up

SWITCH = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")]


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream
    hang_up()


def call(port: int, *fields: tuple[str, str], scheme: str = "http", tls: str = "") -> Call:
    headers = Headers.of(*SWITCH, *fields)
    return Call(
        request=Request(method="GET", target="/ws", headers=headers, body=Whole()),
        body=Whole(),
        origin=Base(scheme=scheme, host="127.0.0.1", port=port),
        timeouts=Timeouts(attempt=PATIENCE, idle=12.5),
        remaining=PATIENCE,
        tls=tls,
    )


def port(upstream: Upstream) -> int:
    return int(upstream.url.rpartition(":")[2])


async def switched(
    session: Session, upstream: Upstream, *fields: tuple[str, str], behind: bytes = b""
) -> tuple[Response, Tunnel, socket.socket, Asked]:
    sending = asyncio.create_task(session.send(call(port(upstream))))
    peer, asked = await asyncio.to_thread(upstream.grant, *fields, behind=behind)
    response = await sending
    assert isinstance(response.duplex, Tunnel)
    assert response.body is response.duplex
    return response, response.duplex, peer.sock, asked


async def test_what_came_with_the_101_and_after_it_and_its_end(upstream: Upstream) -> None:
    session = Session()
    response, tunnel, sock, asked = await switched(session, upstream, ("X-Theirs", "1"), behind=b"one")
    assert (response.status, list(response.headers)) == (101, [("x-theirs", "1")])
    assert tunnel.idle == 12.5
    assert len(asked.one("Sec-WebSocket-Key")) == len(KEY)
    assert await tunnel.read() == b"one"
    sock.sendall(b"two")
    assert await tunnel.read() == b"two"
    tunnel.write(b"up")
    await tunnel.drain()
    assert await asyncio.to_thread(sock.recv, 10) == b"up"
    sock.sendall(b"three")
    sock.close()
    assert await tunnel.read() == b"three"
    assert await tunnel.read() == b""
    with pytest.raises(ConnectionError):
        tunnel.write(b"late")
    assert session.counts() == (1, 0)
    tunnel.close()
    tunnel.close()
    assert session.counts() == (0, 0)
    await session.close()


async def test_a_reset_is_no_end(upstream: Upstream) -> None:
    session = Session()
    _, tunnel, sock, _ = await switched(session, upstream, behind=b"one")
    assert await tunnel.read() == b"one"
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    with pytest.raises(UpstreamProtocolError):
        await tunnel.read()
    tunnel.close()
    await session.close()


async def test_what_was_written_is_sent_before_the_end(upstream: Upstream) -> None:
    session = Session()
    _, tunnel, sock, _ = await switched(session, upstream)
    sent = bytes(3_000_000)
    tunnel.write(sent)
    tunnel.close()

    def taken() -> int:
        count = 0
        while data := sock.recv(1 << 20):
            count += len(data)
        return count

    assert await asyncio.to_thread(taken) == len(sent)
    await session.close()


async def test_a_fast_sender_is_not_read_further_than_is_taken(upstream: Upstream) -> None:
    session = Session()
    _, tunnel, sock, _ = await switched(session, upstream)
    sock.setblocking(False)
    sent, quiet = 0, 0
    while quiet < 20:
        try:
            sent += sock.send(bytes(65536))
            quiet = 0
        except BlockingIOError:
            quiet += 1
        await asyncio.sleep(0.005)
    assert sent < 16 * 1024 * 1024
    piece = await tunnel.read()
    assert 0 < len(piece) <= 512 * 1024
    got = len(piece)
    while got < sent:
        got += len(await tunnel.read())
    assert got == sent
    tunnel.close()
    await session.close()


async def test_it_takes_no_connection_from_those_that_are_kept(upstream: Upstream) -> None:
    session = Session()
    plain = call(port(upstream))
    plain = Call(
        request=Request(method="GET", target="/", headers=Headers(), body=Whole()),
        body=Whole(),
        origin=plain.origin,
        timeouts=plain.timeouts,
        remaining=PATIENCE,
    )
    asking = asyncio.create_task(session.send(plain))
    kept, _ = await asyncio.to_thread(upstream.asked)
    upstream.answer(kept, b"204 No Content")
    await asking
    assert session.counts() == (0, 1)
    _, tunnel, sock, _ = await switched(session, upstream)
    assert session.counts() == (1, 1)
    assert sock is not kept
    tunnel.close()
    assert session.counts() == (0, 1)
    await session.close()


async def test_a_101_that_is_not_believed_leaves_no_connection(upstream: Upstream) -> None:
    session = Session()
    sending = asyncio.create_task(session.send(call(port(upstream))))
    sock, _ = await asyncio.to_thread(upstream.asked)
    fields = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept(KEY))]
    upstream.answer(sock, b"101 Switching Protocols", *fields)
    with pytest.raises(UpstreamProtocolError, match="does not answer our key"):
        await sending
    assert session.counts() == (0, 0)
    await session.close()


async def test_a_control_character_in_the_head_of_a_101(upstream: Upstream) -> None:
    session = Session()
    sending = asyncio.create_task(session.send(call(port(upstream))))
    sock, asked = await asyncio.to_thread(upstream.asked)
    fields = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", accept(asked.one("Sec-WebSocket-Key"))),
        ("X-Odd", "a\x01b"),
    ]
    upstream.answer(sock, b"101 Switching Protocols", *fields)
    with pytest.raises(UpstreamProtocolError):
        await sending
    await session.close()


async def test_over_tls(tmp_path: Path) -> None:
    served, client = await asyncio.to_thread(server_side, tmp_path), await asyncio.to_thread(client_side)
    heard = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = next(
            line.partition(": ")[2] for line in head.split("\r\n") if line.startswith("Sec-WebSocket-Key")
        )
        lines = ["HTTP/1.1 101 X", "Upgrade: websocket", "Connection: Upgrade"]
        writer.write("\r\n".join([*lines, f"Sec-WebSocket-Accept: {accept(key)}", "\r\n"]).encode())
        writer.write(await reader.readexactly(4))
        assert await reader.read() == b""
        heard.set()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=served)
    session = Session(contexts={"api": client})
    own = server.sockets[0].getsockname()[1]
    response = await session.send(call(own, scheme="https", tls="api"))
    assert isinstance(response.duplex, Tunnel)
    response.duplex.write(b"echo")
    assert await response.duplex.read() == b"echo"
    response.duplex.close()
    await asyncio.wait_for(heard.wait(), PATIENCE)
    await session.close()
    server.close()
