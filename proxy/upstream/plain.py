"""Is this beginning of an answer a plain success, which needs no parser to be understood?

The law: plain is what can be read in one way only: HTTP/1.1, a success with a body, each line a name and a
value as we would write them, one length and no other framing, a connection that stays, and no word that is
ours to say. All else is none, and goes to the parser.
"""

from __future__ import annotations

from dataclasses import field
from functools import lru_cache

from proxy.core.caching.admission import READ
from proxy.core.expression import expression
from proxy.core.forwarding import HOP_BY_HOP
from proxy.core.message import Field, Headers
from proxy.core.resilience.quota import TELLING
from proxy.core.value import dataclass

_MOST_HEAD = 8 * 1024  # bytes; larger ones are rare
_MOST_FIELDS = 64
_MOST_HEADS = 512  # that are remembered: an API's answers differ within a second in little, or in every one
# No two ways to read a byte, so that what does not fit is found out in one go. (Possessive quantifiers would
# say so, but the `re` of Python 3.11.2 takes what they must not.)
_HEAD = expression(
    rb"(HTTP/1\.1 (2[0-9][0-9]) [!-~]+(?: [!-~]+)*)\r\n"
    rb"((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+: [!-~\x80-\xff]+(?: +[!-~\x80-\xff]+)*\r\n)+)\r\n"
)
_DIGITS = expression(rb"0|[1-9][0-9]{0,14}")
# Those without a body; and of a 206 only the cache knows what it is worth.
_OTHERS = frozenset({b"204", b"205", b"206"})
_EVENTS = b"text/event-stream"
_KEPT = frozenset({b"keep-alive", b"Keep-Alive"})


# What a field is to us, by its name as it is spelled.
_PASSES, _DECIDES, _LENGTH, _DATE, _TYPE, _CONNECTION, _KEEP_ALIVE, _ID, _QUOTA, _REFUSED = range(10)
_KINDS = {
    "content-length": _LENGTH,
    "date": _DATE,
    "content-type": _TYPE,
    "connection": _CONNECTION,
    "keep-alive": _KEEP_ALIVE,
    "x-request-id": _ID,
}
_BY_NAME: dict[bytes, int] = {}
_MOST_NAMES = 1024  # names come from strangers: the table of spellings must not grow with them


def _kind(name: bytes) -> int:
    lowered = name.decode("latin-1").lower()
    kind = _KINDS.get(lowered, _PASSES)
    if lowered in READ:
        kind = _DECIDES
    elif lowered in TELLING:
        kind = _QUOTA
    elif kind == _PASSES and (lowered in HOP_BY_HOP or lowered.startswith("leeward-")):
        kind = _REFUSED
    if len(_BY_NAME) < _MOST_NAMES:
        _BY_NAME[name] = kind
    return kind


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plain:
    """A head, line by line, before a body of `length` bytes; equal heads are read once.

    `lines` are those that pass as they are, `deciding` those of them that the cache reads. `theirs` is the
    line with the upstream's id, `keep_alive` the field of that name. It is `telling` of quotas.
    """

    start: bytes
    status: int
    length: int
    dated: bool
    telling: bool
    lines: tuple[bytes, ...] = field(repr=False)
    deciding: tuple[bytes, ...] = field(repr=False)
    theirs: bytes = field(repr=False)
    keep_alive: bytes = field(repr=False)

    def headers(self) -> Headers:
        """The end-to-end fields."""
        fields: list[Field] = []
        for line in self.lines:
            name, _, value = line.partition(b": ")
            fields.append((name, value))
        if self.theirs:
            name, _, value = self.theirs.partition(b": ")
            fields.append((name, value))
        fields.append((b"Content-Length", b"%d" % self.length))
        return Headers(fields)

    @property
    def reason(self) -> str:
        return self.start[13:].decode("ascii")


def plain(data: bytes) -> tuple[Plain, bytes] | None:
    """The head and what is here of the body; None where the bytes are to be parsed.

    `data` is what came first on a connection.
    """
    end = data.find(b"\r\n\r\n", 0, _MOST_HEAD) + 4
    answer = _read(data[:end])
    if answer is None or len(data) - end > answer.length:
        return None
    return answer, data[end:]


@lru_cache(maxsize=_MOST_HEADS)
def _read(head: bytes) -> Plain | None:  # noqa: C901, PLR0911, PLR0912 - a line costs less than a call
    found = _HEAD.fullmatch(head)
    if found is None or found[2] in _OTHERS:
        return None
    start, status, block = found.groups()
    every = block.split(b"\r\n")
    every.pop()
    if len(every) > _MOST_FIELDS:
        return None
    lines: list[bytes] = []
    deciding: tuple[bytes, ...] = ()
    theirs = keep_alive = b""
    dated = telling = False
    length = -1
    for line in every:
        name = line[: line.index(b":")]
        kind = _BY_NAME.get(name)
        if kind is None:
            kind = _kind(name)
        if not kind:
            lines.append(line)
        elif kind == _LENGTH:
            value = line[len(name) + 2 :]
            if length >= 0 or _DIGITS.fullmatch(value) is None:
                return None
            length = int(value)
        elif kind == _DATE:
            dated = True
            lines.append(line)
        elif kind == _TYPE:
            if line[len(name) + 2 :].lower().startswith(_EVENTS):
                return None
            lines.append(line)
        elif kind == _CONNECTION:
            if line[len(name) + 2 :] not in _KEPT:
                return None
        elif kind == _DECIDES:
            deciding += (line,)
            lines.append(line)
        elif kind == _QUOTA:
            telling = True
            lines.append(line)
        elif kind == _KEEP_ALIVE:
            keep_alive = line[len(name) + 2 :]
        elif kind == _ID and not theirs:
            theirs = line
        else:
            return None
    if length < 0:
        return None
    return Plain(
        start=start,
        status=int(status),
        length=length,
        dated=dated,
        telling=telling,
        lines=tuple(lines),
        deciding=deciding,
        theirs=theirs,
        keep_alive=keep_alive,
    )
