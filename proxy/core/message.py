"""What does a request or a response look like in this house?

Field names and values are bytes exactly as they came, in their order and number, because a proxy that
re-spells a message changes it. Decisions look fields up by lower-case name and read text as Latin-1,
in which every byte is one character and nothing is lost (RFC 9110 §5.5).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import field
from typing import TYPE_CHECKING, Protocol

from proxy.core.value import dataclass

if TYPE_CHECKING:
    from proxy.core.classify import Fault

Field = tuple[bytes, bytes]

_LOWERED: dict[bytes, str] = {}
_LOWERED_MOST = 4096  # names come from strangers: the table of spellings must not grow with them


def lower_name(name: bytes) -> str:
    """The lower-case text of a field name; the usual spellings are interned."""
    known = _LOWERED.get(name)
    if known is None:
        known = name.decode("latin-1").lower()
        if len(_LOWERED) < _LOWERED_MOST:
            _LOWERED[name] = known
    return known


def _enter(index: dict[str, tuple[bytes, ...]], fields: Iterable[Field]) -> None:
    for name, value in fields:
        lowered = _LOWERED.get(name) or lower_name(name)
        known = index.get(lowered)
        index[lowered] = (value,) if known is None else (*known, value)


class Headers:
    """The field lines of one message: immutable, ordered, duplicates kept."""

    __slots__ = ("_index", "fields")

    fields: tuple[Field, ...]

    def __init__(self, fields: Iterable[Field] = ()) -> None:
        self.fields = tuple(fields)
        self._index: dict[str, tuple[bytes, ...]] | None = None

    @classmethod
    def of(cls, *pairs: tuple[str, str]) -> Headers:
        """From text; for fields that we write ourselves, and for tests."""
        return cls((name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs)

    def _lookup(self) -> dict[str, tuple[bytes, ...]]:
        index = self._index
        if index is None:
            index = self._index = {}
            _enter(index, self.fields)
        return index

    def __contains__(self, name: str) -> bool:
        return name in (self._index or self._lookup())

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """(lower-case name, value) of each line, in order."""
        for name, value in self.fields:
            yield lower_name(name), value.decode("latin-1")

    def __len__(self) -> int:
        return len(self.fields)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self.fields == other.fields

    def __hash__(self) -> int:
        return hash(self.fields)

    def __repr__(self) -> str:
        """Names only: a value may be somebody's credential."""
        return f"Headers({', '.join(name for name, _ in self)})"

    def names(self) -> AbstractSet[str]:
        """The lower-case names that occur."""
        return (self._index or self._lookup()).keys()

    def get(self, name: str) -> str | None:
        """The first line's value of a lower-case name."""
        values = (self._index or self._lookup()).get(name)
        return None if values is None else values[0].decode("latin-1")

    def all(self, name: str) -> list[str]:
        """Every line's value of a lower-case name, in order."""
        return [value.decode("latin-1") for value in self._lookup().get(name, ())]

    def joined(self, name: str) -> str | None:
        """All lines as one comma-separated value (RFC 9110 §5.3), or None where there is none."""
        values = (self._index or self._lookup()).get(name)
        if values is None:
            return None
        return (values[0] if len(values) == 1 else b", ".join(values)).decode("latin-1")

    def size(self) -> int:
        """Bytes of the field section as written in HTTP/1.1: name, colon, space, value, CRLF."""
        return sum(len(name) + len(value) + 4 for name, value in self.fields)

    def without(self, names: AbstractSet[str]) -> Headers:
        """A copy without the lines of these lower-case names; itself where none occurs."""
        index = self._index or self._lookup()
        if index.keys().isdisjoint(names):
            return self
        kept = Headers([field for field in self.fields if lower_name(field[0]) not in names])
        kept._index = {name: values for name, values in index.items() if name not in names}
        return kept

    def plus(self, *pairs: tuple[str, str]) -> Headers:
        """A copy with these lines after the present ones."""
        added = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs]
        longer = Headers((*self.fields, *added))
        if self._index is not None:
            # What is known of the present ones need not be found out again.
            index = longer._index = self._index.copy()
            _enter(index, added)
        return longer

    def replacing(self, name: str, value: str) -> Headers:
        """A copy in which exactly one line has this name, whatever its case."""
        return self.without({name.lower()}).plus((name, value))


class Body(Protocol):
    """The bytes of a message, pulled piece by piece: a reader that pauses holds the sender back."""

    @property
    def length(self) -> int | None:
        """Bytes in all where that is known beforehand; None for a stream of unknown length."""

    async def read(self) -> bytes:
        """The next piece as it came, at least one byte; b"" once the body is complete.

        Raises an APIError where the body was cut short or came too slowly: an incomplete body never
        ends with b"".
        """

    def close(self) -> None:
        """Gives the body up. After the end it does nothing; before it, its source is stopped."""


class Duplex(Protocol):
    """What a connection is after both sides have switched protocols: bytes, both ways."""

    @property
    def idle(self) -> float:
        """Seconds without a byte in either direction after which it is given up."""

    async def read(self) -> bytes:
        """The next bytes as they came; b"" at their end. Raises APIError where the connection broke."""

    def write(self, data: bytes) -> None:
        """Hands bytes to the socket. Raises ConnectionError where nobody is there to take them."""

    async def drain(self) -> None:
        """Waits while the other side takes less than was written. Raises ConnectionError."""


class Whole:
    """A body that is entirely here; may be read again after `rewind`."""

    __slots__ = ("_done", "data")

    def __init__(self, data: bytes = b"") -> None:
        self.data = data
        self._done = not data

    @property
    def length(self) -> int:
        return len(self.data)

    async def read(self) -> bytes:
        if self._done:
            return b""
        self._done = True
        return self.data

    def rewind(self) -> None:
        """From the first byte again."""
        self._done = not self.data

    def close(self) -> None:
        self._done = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Interim:
    """An answer before the answer (1xx, RFC 9110 §15.2); it has end-to-end fields and no body."""

    status: int
    reason: str = ""
    headers: Headers


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request as it is decided about; the same type before and after forwarding's changes.

    `target` is the origin-form target byte for byte, each byte one Latin-1 character: never decoded,
    never normalised. `scheme` and `host` are how the caller reached us. `interim` is called with what
    the upstream says before its final answer; it may not raise. `switch`: it is a caller's WebSocket
    handshake that was found to be one; as it goes upstream it says so in its fields (`switches`).
    """

    method: str
    target: str
    headers: Headers
    body: Body
    host: str = ""
    scheme: str = "http"
    switch: bool = False
    interim: Callable[[Interim], None] | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        """Without the query, which may hold somebody's credential."""
        return f"Request({self.method} {self.path}, {self.headers!r})"

    @property
    def path(self) -> str:
        """The target before the first `?`."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """The target after the first `?`; empty without one."""
        return self.target.partition("?")[2]

    @property
    def switches(self) -> bool:
        """Whether the request, as it goes upstream, is a WebSocket handshake."""
        return "upgrade" in self.headers


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A final response's head, with its body still to be pulled.

    `headers` hold end-to-end fields only, Content-Length included where the upstream sent one;
    Transfer-Encoding and the like belong to one hop and never stand here. `fault` is what the answer is in
    truth, where its body was looked at; such an answer may have the status of a success. `duplex` is what
    the connection has become after a 101; closing the body ends it.
    """

    status: int
    reason: str = ""
    headers: Headers
    body: Body
    fault: Fault | None = None
    duplex: Duplex | None = None

    def with_headers(self, headers: Headers) -> Response:
        """The same but for its fields; `replace` finds out anew each time what fields a class has."""
        return Response(
            status=self.status,
            reason=self.reason,
            headers=headers,
            body=self.body,
            fault=self.fault,
            duplex=self.duplex,
        )

    def with_body(self, body: Body) -> Response:
        """The same but for its body."""
        return Response(
            status=self.status,
            reason=self.reason,
            headers=self.headers,
            body=body,
            fault=self.fault,
            duplex=self.duplex,
        )
