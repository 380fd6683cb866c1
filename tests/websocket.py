"""How do the two ends of a WebSocket speak in a test, to the byte? Raw sockets on both sides of the proxy."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import socket
import struct
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Self

from tests.running import Leeward
from tests.script import PATIENCE
from tests.wire import Address, Answer, Ending, Wire, request

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # of that key, as RFC 6455 §1.3 has it
ASKED = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", KEY),
]


_MADE: list[socket.socket] = []


def hang_up() -> None:
    """Closes what the test has left open."""
    while _MADE:
        _MADE.pop().close()


def accept(key: str) -> str:
    digest = hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    return base64.b64encode(digest).decode()


@dataclass(frozen=True)
class Frame:
    """One frame; `mask` is None where it was not masked, and `payload` never is."""

    opcode: int
    payload: bytes = b""
    fin: bool = True
    rsv: int = 0
    mask: bytes | None = None

    @property
    def code(self) -> int | None:
        """Of a Close."""
        return struct.unpack("!H", self.payload[:2])[0] if self.payload else None

    def raw(self) -> bytes:
        first = (0x80 if self.fin else 0) | self.rsv << 4 | self.opcode
        masked, size = (0x80 if self.mask else 0), len(self.payload)
        if size < 126:
            head = struct.pack("!BB", first, masked | size)
        elif size < 65536:
            head = struct.pack("!BBH", first, masked | 126, size)
        else:
            head = struct.pack("!BBQ", first, masked | 127, size)
        return head + (self.mask + xor(self.payload, self.mask) if self.mask else self.payload)


def xor(payload: bytes, mask: bytes) -> bytes:
    stream = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload) ^ int.from_bytes(stream)).to_bytes(len(payload))


def close(code: int | None = None, reason: bytes = b"") -> bytes:
    return b"" if code is None else struct.pack("!H", code) + reason


class Peer:
    """One end of an open WebSocket; a client masks what it sends."""

    def __init__(self, sock: socket.socket, *, client: bool, begun: bytes = b"") -> None:
        self.sock = sock
        self.client = client
        self.buffer = bytearray(begun)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.sock.close()

    def send(self, opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> bytes:
        """Sends a frame, and gives its bytes."""
        mask = os.urandom(4) if self.client else None
        raw = Frame(opcode, payload, fin=fin, rsv=rsv, mask=mask).raw()
        self.sock.sendall(raw)
        return raw

    def exactly(self, size: int) -> bytes:
        """So many bytes as they came. Raises EOFError where the connection ends before."""
        while len(self.buffer) < size:
            data = self.sock.recv(65536)
            if not data:
                raise EOFError(bytes(self.buffer))
            self.buffer += data
        taken = bytes(self.buffer[:size])
        del self.buffer[:size]
        return taken

    def read(self) -> Frame:
        """The next frame."""
        first, second = self.exactly(2)
        size = second & 0x7F
        if size >= 126:
            size = int.from_bytes(self.exactly(2 if size == 126 else 8))
        mask = self.exactly(4) if second & 0x80 else None
        payload = self.exactly(size)
        opcode, rsv = first & 0x0F, first >> 4 & 7
        plain = payload if mask is None else xor(payload, mask)
        return Frame(opcode, plain, fin=bool(first & 0x80), rsv=rsv, mask=mask)

    def got(self) -> tuple[int, bytes]:
        """Opcode and payload of the next frame."""
        frame = self.read()
        return frame.opcode, frame.payload

    def end(self, timeout: float = PATIENCE) -> Ending:
        """How the connection ends; bytes before that are a failure."""
        self.sock.settimeout(timeout)
        assert not self.buffer, bytes(self.buffer)
        try:
            data = self.sock.recv(65536)
        except TimeoutError:
            return "open"
        except ConnectionResetError:
            return "reset"
        assert not data, data
        return "closed"


@dataclass(frozen=True)
class Asked:
    """A handshake that came to the upstream."""

    line: str
    fields: list[tuple[str, str]]

    def all(self, name: str) -> list[str]:
        return [value for found, value in self.fields if found.lower() == name.lower()]

    def one(self, name: str) -> str:
        (value,) = self.all(name)
        return value


class Upstream:
    """A WebSocket server that does what the test tells it, one connection at a time."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PATIENCE)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._listener.close()

    def asked(self) -> tuple[socket.socket, Asked]:
        """The next connection, on which a head has come."""
        sock, _ = self._listener.accept()
        _MADE.append(sock)
        sock.settimeout(PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = bytearray()
        while not head.endswith(b"\r\n\r\n"):
            data = sock.recv(1)
            assert data, bytes(head)
            head += data
        line, *rest = head[:-4].decode("latin-1").split("\r\n")
        fields = [(name, value.strip()) for name, _, value in (field.partition(":") for field in rest)]
        return sock, Asked(line, fields)

    def untouched(self, seconds: float = 0.2) -> bool:
        """Whether nobody has come."""
        self._listener.settimeout(seconds)
        try:
            self._listener.accept()[0].close()
        except TimeoutError:
            return True
        finally:
            self._listener.settimeout(PATIENCE)
        return False

    def answer(self, sock: socket.socket, status: bytes, *fields: tuple[str, str], body: bytes = b"") -> None:
        lines = [b"HTTP/1.1 " + status, *(f"{name}: {value}".encode("latin-1") for name, value in fields)]
        sock.sendall(b"\r\n".join([*lines, b"\r\n"]) + body)

    def refuse(self, status: bytes, *fields: tuple[str, str], body: bytes = b"{}") -> Asked:
        """Answers the next handshake with something else than 101."""
        sock, asked = self.asked()
        self.answer(sock, status, ("Content-Length", str(len(body))), *fields, body=body)
        sock.close()
        return asked

    def grant(self, *fields: tuple[str, str], behind: bytes = b"") -> tuple[Peer, Asked]:
        """Answers the next handshake with 101 and these fields, and `behind` in the same write."""
        sock, asked = self.asked()
        agreed = [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Accept", accept(asked.one("Sec-WebSocket-Key"))),
        ]
        self.answer(sock, b"101 Switching Protocols", *agreed, *fields, body=behind)
        return Peer(sock, client=False), asked


class Calling:
    """A caller that has asked and not yet read the answer."""

    def __init__(self, address: Address, target: str, fields: Iterable[tuple[str, str]] = ()) -> None:
        self.wire = Wire(address)
        _MADE.append(self.wire.sock)
        self.wire.send(request("GET", target, [*ASKED, *fields]))

    def answer(self) -> Answer:
        return self.wire.read()

    def opened(self) -> tuple[Peer, Answer]:
        """The caller's end, once the 101 is here."""
        head = self.wire.read_head()
        assert head.status == 101, (head.status, self.wire.read_body(head).body)
        return Peer(self.wire.sock, client=True, begun=bytes(self.wire.buffer)), head


class Open:
    """Both ends of a WebSocket, and what they said to open it."""

    def __init__(self, caller: Peer, upstream: Peer, answer: Answer, asked: Asked) -> None:
        self.caller = caller
        self.upstream = upstream
        self.answer = answer
        self.asked = asked

    def ends(self, *, upwards: bool) -> tuple[Peer, Peer]:
        return (self.caller, self.upstream) if upwards else (self.upstream, self.caller)

    def part(self) -> None:
        """Says goodbye as one should, so that the proxy is done with it."""
        with contextlib.suppress(OSError, EOFError):
            self.caller.send(CLOSE, close(1000))
            self.upstream.read()
            self.upstream.send(CLOSE, close(1000))
            self.caller.read()
        self.caller.sock.close()
        self.upstream.sock.close()


def opened(
    proxy: Leeward,
    upstream: Upstream,
    *fields: tuple[str, str],
    target: str = "/ws",
    agreed: list[tuple[str, str]] | None = None,
    behind: bytes = b"",
) -> Open:
    calling = Calling(proxy.address, target, fields)
    peer, asked = upstream.grant(*(agreed or ()), behind=behind)
    caller, answer = calling.opened()
    return Open(caller, peer, answer, asked)


def until(done: Callable[[], bool]) -> None:
    """Waits for it."""
    limit = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < limit
        time.sleep(0.02)
