"""What does an upstream do to its clients when it misbehaves on purpose?

A scripted HTTP/1.1 origin on loopback, on raw sockets and a thread a connection, so that it serves
tests in a loop, tests without one, and proxies in other processes alike. It counts and keeps what it
received to the byte, and answers each path from a script whose last step repeats:

    origin.on("/x").reply(503).reply(503).reply(200, b"ok", [("ETag", '"1"')])
    origin.on("/y").raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", gate, b"ok")
    origin.count("/x"), origin.hits("/x")[0].headers("accept")
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
import time
from collections.abc import Sequence
from typing import Self

from tests.script import KEPT, PATIENCE, End, Flood, Gate, Hit, Part, Script, Step, chunk, head

__all__ = [
    "KEPT",
    "PATIENCE",
    "End",
    "Flood",
    "Gate",
    "Hit",
    "Origin",
    "Script",
    "Step",
    "chunk",
    "closed_port",
    "head",
]


class _Left(Exception):
    """The peer is gone, or the test is over."""


class _Link:
    """One accepted connection, read into a buffer."""

    def __init__(self, sock: socket.socket, number: int, epoch: int) -> None:
        self.sock = sock
        self.number = number
        self.epoch = epoch
        self.received = bytearray()  # everything that ever came, cut at KEPT
        self.buffer = bytearray()
        self.closed = threading.Event()
        sock.settimeout(PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def fill(self) -> None:
        try:
            data = self.sock.recv(65536)
        except OSError:
            raise _Left from None
        if not data:
            raise _Left
        self.received += data[: max(0, KEPT - len(self.received))]
        self.buffer += data

    def until(self, mark: bytes) -> bytes:
        """All up to and with the mark."""
        while (at := self.buffer.find(mark)) < 0:
            self.fill()
        taken = bytes(self.buffer[: at + len(mark)])
        del self.buffer[: at + len(mark)]
        return taken

    def exactly(self, size: int, hit: Hit) -> None:
        """So many bytes of body into the hit."""
        while size:
            if not self.buffer:
                self.fill()
            piece = bytes(self.buffer[:size])
            del self.buffer[: len(piece)]
            size -= len(piece)
            hit.size += len(piece)
            if len(hit.body) < KEPT:
                hit.body += piece

    def left(self) -> bool:
        """Has the peer closed? Looks without taking."""
        try:
            if not select.select([self.sock], [], [], 0)[0]:
                return False
            return self.sock.recv(1, socket.MSG_PEEK) == b""
        except (OSError, ValueError):
            return True

    def finish(self, *, reset: bool = False) -> None:
        with contextlib.suppress(OSError):
            if reset:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            else:
                self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        self.closed.set()


class Origin:
    """The server. Use as a context manager; `reset` makes it new for the next test."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.authority = f"127.0.0.1:{self.port}"
        self._change = threading.Condition()
        self._epoch = 0
        self.hang_up = 0  # so many of the next connections are closed as soon as they are accepted
        self._scripts: dict[str, Script] = {}
        self._hits: list[Hit] = []
        self._links: list[_Link] = []
        threading.Thread(target=self._accept, daemon=True, name="origin").start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._epoch += 1
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # closed only, it still takes the next call
        self._listener.close()
        for link in list(self._links):
            link.finish()

    def reset(self) -> None:
        """Forgets scripts and hits; answers still under way are broken off, idle connections stay."""
        with self._change:
            self._epoch += 1
            self._scripts.clear()
            self._hits.clear()
            self._links = [link for link in self._links if not link.closed.is_set()]
            self.hang_up = 0
            for link in self._links:
                link.received.clear()

    def on(self, target: str) -> Script:
        """The script of a path, or of a target with its query; `*` is for all that have none."""
        return self._scripts.setdefault(target, Script())

    def hits(self, path: str | None = None) -> list[Hit]:
        """What came, in order; for one path (with any query), or all."""
        with self._change:
            return [h for h in self._hits if path is None or path in (h.target, h.target.partition("?")[0])]

    def count(self, path: str | None = None) -> int:
        return len(self.hits(path))

    def hit(self, path: str | None = None) -> Hit:
        """The only request that came."""
        hits = self.hits(path)
        assert len(hits) == 1, f"{len(hits)} requests instead of one"
        return hits[0]

    def received(self) -> bytes:
        """Every byte since the reset, connection after connection, whether it made sense or not."""
        with self._change:
            return b"".join(bytes(link.received) for link in self._links)

    def accepted(self) -> int:
        """Connections since the reset, those still open then included."""
        return len(self._links)

    def wait_for(self, path: str | None = None, count: int = 1, timeout: float = PATIENCE) -> list[Hit]:
        """Blocks until so many requests came."""
        with self._change:
            met = self._change.wait_for(lambda: self.count(path) >= count, timeout)
        assert met, f"{self.count(path)} of {count} requests came within {timeout} s"
        return self.hits(path)

    def wait_closed(self, hit: Hit) -> None:
        """Blocks until the connection on which it came is closed on this side."""
        (link,) = [link for link in self._links if link.number == hit.connection]
        assert link.closed.wait(PATIENCE), "the connection is still open"

    def _accept(self) -> None:
        for number in range(1_000_000):
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            if self.hang_up > 0:
                self.hang_up -= 1
                sock.close()
                continue
            link = _Link(sock, number, self._epoch)
            with self._change:
                self._links.append(link)
            threading.Thread(target=self._serve, args=(link,), daemon=True, name="origin link").start()

    def _serve(self, link: _Link) -> None:
        end: End = "keep"
        try:
            while end == "keep":
                raw = link.until(b"\r\n\r\n")
                link.epoch = self._epoch
                end = self._answer(link, raw)
        except (_Left, OSError, ValueError):
            end = "close"
        finally:
            link.finish(reset=end == "reset")

    def _answer(self, link: _Link, raw: bytes) -> End:
        hit = _parse(raw, link.number)
        with self._change:
            script = self._scripts.get(hit.target) or self._scripts.get(hit.target.partition("?")[0])
            step = (script or self._scripts.get("*") or Script()).take()
            self._hits.append(hit)
            self._change.notify_all()
        try:
            if step.read_body:
                _read_body(link, hit)
            for part in step.parts:
                self._play(link, part, hit)
            if step.end == "half":
                link.sock.shutdown(socket.SHUT_WR)
            if not step.read_body:
                _read_body(link, hit)
            while step.end in ("half", "hold", "drain"):
                link.fill()
                link.buffer.clear()
        except (_Left, OSError):
            hit.gone.set()
            raise
        return step.end

    def _play(self, link: _Link, part: Part, hit: Hit) -> None:
        match part:
            case Gate():
                part.reached.set()
                limit = time.monotonic() + 4 * PATIENCE  # the test's own waits end first
                while not part.is_open(0.01):
                    if link.left() or link.epoch != self._epoch or time.monotonic() > limit:
                        raise _Left
            case Flood(size, piece):
                for _ in range(size // len(piece)):
                    link.sock.sendall(piece)
                link.sock.sendall(piece[: size % len(piece)])
            case bytes():
                link.sock.sendall(part)
            case _:
                link.sock.sendall(part(hit))


def _parse(raw: bytes, connection: int) -> Hit:
    hit = Hit(raw, connection, time.monotonic())
    first, *lines = raw[:-4].split(b"\r\n")
    words: Sequence[str] = first.decode("latin-1").split(" ")
    if len(words) == 3:
        hit.method, hit.target, hit.version = words
    for line in lines:
        name, _, value = line.partition(b":")
        hit.fields.append((name, value.strip(b" \t")))
    return hit


def _read_body(link: _Link, hit: Hit) -> None:
    before = len(link.received) - len(link.buffer)
    if hit.header("transfer-encoding") is not None:
        while size := int(link.until(b"\r\n").partition(b";")[0], 16):
            link.exactly(size, hit)
            link.until(b"\r\n")
        while (line := link.until(b"\r\n")) != b"\r\n":
            hit.trailers.append(line)
    else:
        link.exactly(int(hit.header("content-length") or 0), hit)
    hit.raw_body = bytes(link.received[before : len(link.received) - len(link.buffer)])
    hit.complete = True


def closed_port() -> int:
    """A port of loopback on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port: int = unused.getsockname()[1]
    return port
