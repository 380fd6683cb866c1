"""What came back, byte for byte, and how did the connection end?

A client on raw sockets. It sends whatever it is given and reads one answer with a parser of its own,
strict enough that a proxy's mistakes in framing are seen rather than forgiven.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from tests.origin import PATIENCE

Framing = Literal["none", "length", "chunked", "close"]
Ending = Literal["open", "closed", "reset"]
Address = tuple[str, int] | str

_STATUS = re.compile(rb"HTTP/1\.1 ([1-9][0-9][0-9]) ([\t\x20-\x7e\x80-\xff]*)")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_SIZE = re.compile(rb"[0-9A-Fa-f]{1,8}")


class BadAnswerError(AssertionError):
    """The proxy wrote something that is not HTTP/1.1."""


@dataclass(slots=True)
class Answer:
    """One response. `complete` says whether its body ended as its framing promised."""

    status: int
    reason: str
    fields: list[tuple[str, str]]
    raw_head: bytes
    body: bytes = b""
    framing: Framing = "none"
    complete: bool = True
    informational: list[int] = field(default_factory=list)
    chunks: int = 0

    def headers(self, name: str) -> list[str]:
        return [v for n, v in self.fields if n.lower() == name.lower()]

    def header(self, name: str) -> str | None:
        values = self.headers(name)
        return values[0] if values else None

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def problem(self) -> dict[str, Any]:
        """The error document; fails where the answer is none."""
        assert self.header("content-type") == "application/problem+json", (self.raw_head, self.body[:500])
        document = self.json()
        assert isinstance(document, dict)
        assert document["status"] == self.status
        assert self.header("leeward-error") == document["code"]
        return document

    @property
    def code(self) -> str:
        code = self.problem["code"]
        assert isinstance(code, str)
        return code


class Wire:
    """One connection to the proxy."""

    def __init__(self, address: Address, *, timeout: float = PATIENCE) -> None:
        if isinstance(address, str):
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        else:
            self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.settimeout(timeout)
        self.sock.connect(address)
        self.buffer = bytearray()
        self.ending: Ending = "open"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.sock.close()

    def send(self, *pieces: bytes) -> Self:
        """Each piece in a write of its own. A peer that closed early is no error: its answer counts."""
        for piece in pieces:
            try:
                self.sock.sendall(piece)
            except (BrokenPipeError, ConnectionResetError):
                break
        return self

    def half_close(self) -> Self:
        self.sock.shutdown(socket.SHUT_WR)
        return self

    def _fill(self) -> bool:
        if self.ending != "open":
            return False
        try:
            data = self.sock.recv(262144)
        except ConnectionResetError:
            self.ending = "reset"
            return False
        if not data:
            self.ending = "closed"
            return False
        self.buffer += data
        return True

    def _line(self) -> bytes | None:
        while (at := self.buffer.find(b"\r\n")) < 0:
            if not self._fill():
                return None
        line = bytes(self.buffer[:at])
        del self.buffer[: at + 2]
        return line

    def read_head(self, method: str = "GET") -> Answer:
        """The next head that is not 1xx; its body stays unread."""
        seen: list[int] = []
        while True:
            answer = self._one_head()
            if answer.status >= 200 or answer.status == 101:
                break
            seen.append(answer.status)
        answer.informational = seen
        answer.framing = _framing(answer, method)
        return answer

    def _one_head(self) -> Answer:
        while (at := self.buffer.find(b"\r\n\r\n")) < 0:
            if not self._fill():
                raise BadAnswerError(f"no whole head, connection {self.ending}: {bytes(self.buffer[:300])!r}")
        raw = bytes(self.buffer[: at + 4])
        del self.buffer[: at + 4]
        first, *lines = raw[:-4].split(b"\r\n")
        matched = _STATUS.fullmatch(first)
        if matched is None:
            raise BadAnswerError(f"bad status line {first!r}")
        fields = []
        for line in lines:
            name, colon, value = line.partition(b":")
            if not colon or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
                raise BadAnswerError(f"bad field line {line!r}")
            fields.append((name.decode("latin-1"), value.strip(b" \t").decode("latin-1")))
        return Answer(int(matched[1]), matched[2].decode("latin-1"), fields, raw)

    def read_body(self, answer: Answer, limit: int | None = None) -> Answer:
        """Reads the rest; `limit` stops early, after at least so many bytes."""
        match answer.framing:
            case "none":
                pass
            case "length":
                self._exactly(answer, int(answer.header("content-length") or 0), limit)
            case "close":
                more = True
                while more and (limit is None or len(answer.body) < limit):
                    more = bool(self.buffer) or self._fill()
                    answer.body += bytes(self.buffer)
                    self.buffer.clear()
                answer.complete = self.ending == "closed"
            case "chunked":
                self._chunks(answer, limit)
        return answer

    def _exactly(self, answer: Answer, size: int, limit: int | None) -> None:
        kept = bytearray(answer.body)
        while len(kept) < size and (limit is None or len(kept) < limit):
            if not self.buffer and not self._fill():
                break
            piece = self.buffer[: size - len(kept)]
            del self.buffer[: len(piece)]
            kept += piece
        answer.body = bytes(kept)
        answer.complete = len(kept) == size

    def _chunks(self, answer: Answer, limit: int | None) -> None:
        kept = bytearray(answer.body)
        answer.complete = False
        while limit is None or len(kept) < limit:
            line = self._line()
            if line is None:
                break
            if not _SIZE.fullmatch(line):
                raise BadAnswerError(f"bad chunk size {line!r}")
            size = int(line, 16)
            while len(self.buffer) < size + 2 and self._fill():
                pass
            kept += self.buffer[:size]
            if len(self.buffer) < size + 2:
                break
            if self.buffer[size : size + 2] != b"\r\n":
                raise BadAnswerError(f"chunk of {size} not ended: {bytes(self.buffer[size : size + 9])!r}")
            del self.buffer[: size + 2]
            answer.chunks += 1
            if size == 0:
                answer.complete = True
                break
        answer.body = bytes(kept)

    def read(self, method: str = "GET") -> Answer:
        """One whole answer (or what came of it: see `complete`)."""
        return self.read_body(self.read_head(method))

    def end(self, timeout: float = 5.0) -> Ending:
        """Whether the connection ends within the time. Bytes nobody asked for are a failure."""
        self.sock.settimeout(timeout)
        try:
            more = self._fill()
        except TimeoutError:
            return "open"
        if more or self.buffer:
            raise BadAnswerError(f"bytes after the answer: {bytes(self.buffer[:300])!r}")
        return self.ending

    def drain(self) -> int:
        """Counts what still comes until the end, keeping nothing."""
        count = len(self.buffer)
        self.buffer.clear()
        while self._fill():
            count += len(self.buffer)
            self.buffer.clear()
        return count


def _framing(answer: Answer, method: str) -> Framing:
    lengths = answer.headers("content-length")
    codings = answer.headers("transfer-encoding")
    if (lengths and codings) or len(lengths) > 1 or len(codings) > 1:
        raise BadAnswerError(f"two framings: {answer.raw_head!r}")
    if lengths and not re.fullmatch(r"[0-9]{1,18}", lengths[0]):
        raise BadAnswerError(f"bad length {lengths[0]!r}")
    if method == "HEAD" or answer.status in (101, 204, 304):
        if answer.status == 204 and (lengths or codings):
            raise BadAnswerError(f"204 with framing: {answer.raw_head!r}")
        return "none"
    if codings:
        if codings[0].lower() != "chunked":
            raise BadAnswerError(f"unknown coding {codings[0]!r}")
        return "chunked"
    return "length" if lengths else "close"


def request(
    method: str,
    target: str,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes | None = None,
    *,
    host: str | None = "localhost",
) -> bytes:
    """A request's bytes; a Host and a Content-Length are added, everything else is as given."""
    lines = [f"{method} {target} HTTP/1.1"]
    if host is not None:
        lines.append(f"Host: {host}")
    lines += [f"{name}: {value}" for name, value in headers]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + (body or b"")


def ask(
    address: Address,
    method: str,
    target: str,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes | None = None,
    *,
    host: str | None = "localhost",
) -> Answer:
    """One request on a connection of its own."""
    with Wire(address) as wire:
        return wire.send(request(method, target, headers, body, host=host)).read(method)
