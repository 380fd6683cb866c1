"""Can the request's body be sent again from its first byte?

The law: what is sent again is what was sent, or nothing is. Bytes are kept up to the route's
`max_replay_body`; a body that outgrows it is sent once.
"""

from __future__ import annotations

from proxy.core.failure import BadRequestError
from proxy.core.message import Body, Whole

# So much goes out in one write, together with the head; it is gathered before a connection is taken.
ONE_WRITE = 64 * 1024


class Replay:
    """A request body that remembers what was pulled from it, as long as that is at most `most` bytes."""

    __slots__ = ("_kept", "_most", "_next", "_size", "_source", "_started")

    def __init__(self, source: Body, most: int) -> None:
        self._source = source
        self._most = most
        length = source.length
        # What cannot fit is not kept in the first place.
        self._kept: list[bytes] | None = None if length is not None and length > most else []
        self._size = 0
        self._next = 0
        self._started = False

    @property
    def length(self) -> int | None:
        return self._source.length

    @property
    def replayable(self) -> bool:
        return self._kept is not None or not self._started

    async def read(self) -> bytes:
        kept = self._kept
        if kept is not None and self._next < len(kept):
            piece = kept[self._next]
            self._next += 1
            return piece
        piece = await self._source.read()
        self._started = True
        if kept is not None and piece:
            self._size += len(piece)
            if self._size > self._most:
                self._kept = None
            else:
                kept.append(piece)
                self._next += 1
        return piece

    def rewind(self) -> None:
        self._next = 0

    def close(self) -> None:
        self._source.close()


async def prepared(body: Body, most: int) -> Whole | Replay:
    """The body as the attempts use it: small ones whole, large ones remembered up to `most` bytes.

    Raises what the caller's body raises; BadRequestError where it is not as long as it says.
    """
    if isinstance(body, Whole):
        return body
    length = body.length
    if length is None or length > ONE_WRITE:
        return Replay(body, most)
    pieces: list[bytes] = []
    while piece := await body.read():
        pieces.append(piece)
    whole = Whole(b"".join(pieces))
    if whole.length != length:
        raise BadRequestError("The request body is not as long as its Content-Length says.")
    return whole


def replayable(body: Whole | Replay, most: int) -> bool:
    """Whether `rewind` leads back to the first byte, within the route's bound."""
    match body:
        case Whole():
            return body.length <= most
        case Replay():
            return body.replayable
