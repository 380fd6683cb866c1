"""How does a request's body become part of its cache key, and still reach the upstream?"""

from __future__ import annotations

from dataclasses import replace

from proxy.core.message import Body, Request, Whole

MOST = 256 * 1024  # bytes; what is longer is not worth a key


async def gathered(request: Request) -> tuple[Request, bytes | None]:
    """The request with its body unread, and the whole body; None where it is too long to hold.

    Raises what the body raises.
    """
    body = request.body
    if isinstance(body, Whole):
        return request, body.data if len(body.data) <= MOST else None
    if body.length is not None and body.length > MOST:
        return request, None
    pieces: list[bytes] = []
    size = 0
    while piece := await body.read():
        pieces.append(piece)
        size += len(piece)
        if size > MOST:
            return replace(request, body=Resumed(pieces, body)), None
    content = b"".join(pieces)
    return replace(request, body=Whole(content)), content


class Resumed:
    """A Body of which the first pieces were read already."""

    __slots__ = ("_pieces", "_rest")

    def __init__(self, pieces: list[bytes], rest: Body) -> None:
        self._pieces = pieces[::-1]
        self._rest = rest

    @property
    def length(self) -> int | None:
        return self._rest.length

    async def read(self) -> bytes:
        return self._pieces.pop() if self._pieces else await self._rest.read()

    def close(self) -> None:
        self._pieces.clear()
        self._rest.close()


class Spliced:
    """A Body whose begin or end is here already; `length` bytes in all."""

    __slots__ = ("_after", "_before", "_rest", "length")

    def __init__(self, before: bytes, rest: Body, after: bytes, *, length: int) -> None:
        self._before = before
        self._rest = rest
        self._after = after
        self.length = length

    async def read(self) -> bytes:
        if self._before:
            piece, self._before = self._before, b""
            return piece
        piece = await self._rest.read()
        if not piece:
            piece, self._after = self._after, b""
        return piece

    def close(self) -> None:
        self._before = self._after = b""
        self._rest.close()
