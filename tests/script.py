"""What shall the scripted origin do on a path, and what does it remember of a request?"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal, Self

PATIENCE = 20.0  # seconds until anything that is awaited counts as never coming
KEPT = 1024 * 1024  # bytes kept of one body or one connection

End = Literal["keep", "close", "reset", "half", "hold", "drain"]
Pairs = Iterable[tuple[str, str]]


class Gate:
    """Holds an answer back until the test opens it."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.reached = threading.Event()  # set once an answer waits here

    def open(self) -> None:
        self._event.set()

    def is_open(self, timeout: float = 0) -> bool:
        return self._event.wait(timeout)


@dataclass(frozen=True, slots=True)
class Flood:
    """So many bytes of filling, written in pieces."""

    size: int
    piece: bytes = b"0123456789abcdef" * 4096


@dataclass(slots=True)
class Hit:
    """One request as it came. `body` is unframed and cut at KEPT; `size` counts all of it."""

    raw_head: bytes
    connection: int
    at: float  # monotonic seconds, when the head was complete
    method: str = ""
    target: str = ""
    version: str = ""
    fields: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    raw_body: bytes = b""  # with its framing, cut at KEPT
    size: int = 0
    complete: bool = False  # the body came whole
    trailers: list[bytes] = field(default_factory=list)
    gone: threading.Event = field(default_factory=threading.Event)  # the peer left before our answer ended

    def headers(self, name: str) -> list[str]:
        """Every value of a field, in order."""
        wanted = name.lower().encode("latin-1")
        return [v.decode("latin-1") for n, v in self.fields if n.lower() == wanted]

    def header(self, name: str) -> str | None:
        values = self.headers(name)
        return values[0] if values else None


Part = bytes | Gate | Flood | Callable[[Hit], bytes]


@dataclass(frozen=True, slots=True)
class Step:
    """The parts of one answer, then what becomes of the connection."""

    parts: tuple[Part, ...]
    end: End = "keep"
    read_body: bool = True


def head(status: int, headers: Pairs = (), reason: str = "Said So") -> bytes:
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


class Script:
    """The answers of one path, in order; the last one repeats."""

    def __init__(self) -> None:
        self._steps: list[Step] = []
        self._next = 0
        self._lock = threading.Lock()

    def raw(self, *parts: Part, then: End = "keep", read_body: bool = True) -> Self:
        """Exactly these bytes, with gates between them, and then the connection's fate."""
        self._steps.append(Step(parts, then, read_body))
        return self

    def reply(
        self,
        status: int = 200,
        body: bytes = b"",
        headers: Pairs = (),
        *,
        gate: Gate | None = None,
        then: End = "keep",
    ) -> Self:
        """A proper answer with Content-Length (none on 1xx, 204, 304; no body to HEAD)."""
        pairs = list(headers)

        def written(hit: Hit) -> bytes:
            lengthless = status < 200 or status in (204, 304)
            length = [] if lengthless else [("Content-Length", str(len(body)))]
            bodiless = lengthless or hit.method == "HEAD"
            return head(status, [*pairs, *length]) + (b"" if bodiless else body)

        return self.raw(*([gate] if gate else []), written, then=then)

    def chunked(
        self, *pieces: Part, status: int = 200, headers: Pairs = (), trailers: Pairs = (), last: bool = True
    ) -> Self:
        """A chunk a piece; `last=False` leaves the final chunk out and closes."""
        framed = [chunk(p) if isinstance(p, bytes) else p for p in pieces]
        tail = "".join(f"{n}: {v}\r\n" for n, v in trailers).encode("latin-1")
        end: list[Part] = [b"0\r\n" + tail + b"\r\n"] if last else []
        start = head(status, [*headers, ("Transfer-Encoding", "chunked")])
        return self.raw(start, *framed, *end, then="keep" if last else "close")

    def sse(self, *parts: Part, then: End = "close") -> Self:
        """An event stream that ends with the connection; events are bytes, gates hold them back."""
        return self.raw(head(200, [("Content-Type", "text/event-stream")]), *parts, then=then)

    def cut(self, body: bytes, after: int, headers: Pairs = (), *, then: End = "close") -> Self:
        """Promises the whole body by Content-Length and stops after so many bytes of it."""
        return self.raw(head(200, [*headers, ("Content-Length", str(len(body)))]), body[:after], then=then)

    def flood(self, size: int, headers: Pairs = ()) -> Self:
        """So many bytes under a Content-Length."""
        return self.raw(head(200, [*headers, ("Content-Length", str(size))]), Flood(size))

    def drop(self) -> Self:
        """Reads the request and closes without a word."""
        return self.raw(then="close")

    def reset(self, *parts: Part) -> Self:
        """Ends with RST instead of FIN."""
        return self.raw(*parts, then="reset")

    def never(self) -> Self:
        """Reads the request and stays silent until the peer leaves."""
        return self.raw(then="hold")

    def early(
        self, status: int = 413, body: bytes = b"", headers: Pairs = (), *, then: End = "drain"
    ) -> Self:
        """Answers on the head alone, while the body is still coming."""
        start = head(status, [*headers, ("Content-Length", str(len(body)))])
        return self.raw(start + body, then=then, read_body=False)

    def informational(self, status: int, times: int, body: bytes = b"ok") -> Self:
        """So many 1xx before a 200."""
        final = head(200, [("Content-Length", str(len(body)))]) + body
        return self.raw(*([head(status)] * times), final)

    def take(self) -> Step:
        with self._lock:
            step = self._steps[min(self._next, len(self._steps) - 1)] if self._steps else PLAIN
            self._next += 1
            return step


PLAIN = Step((head(200, [("Content-Type", "text/plain"), ("Content-Length", "2")]) + b"ok",))
