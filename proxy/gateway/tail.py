"""What is to happen when a body has ended, however it ends?"""

from __future__ import annotations

from collections.abc import Callable

from proxy.core.message import Body, Response


class Tail:
    """A body that calls `ended` once: after its last byte, its failure, or its being given up."""

    __slots__ = ("_body", "_ended")

    def __init__(self, body: Body, ended: Callable[[], None]) -> None:
        self._body = body
        self._ended: Callable[[], None] | None = ended

    @classmethod
    def after(cls, response: Response, ended: Callable[[], None]) -> Response:
        """The response with such a body."""
        return response.with_body(cls(response.body, ended))

    @property
    def length(self) -> int | None:
        return self._body.length

    async def read(self) -> bytes:
        try:
            piece = await self._body.read()
        except BaseException:
            self._end()
            raise
        if not piece:
            self._end()
        return piece

    def close(self) -> None:
        self._body.close()
        self._end()

    def _end(self) -> None:
        ended, self._ended = self._ended, None
        if ended is not None:
            ended()
