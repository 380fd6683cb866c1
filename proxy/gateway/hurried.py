"""How long does a caller in a hurry wait for the rest of an answer that has begun?

The law: as long as it said and no longer, whoever else reads along. Of an endless stream only the head has
to be in time.
"""

from __future__ import annotations

import asyncio

from proxy.core.failure import DeadlineExceededError
from proxy.core.message import Body, Response, Whole
from proxy.core.ports import Clock


class Hurried:
    """A body that has to be read by the monotonic second `deadline`."""

    __slots__ = ("_body", "_clock", "_deadline")

    def __init__(self, body: Body, deadline: float, clock: Clock) -> None:
        self._body = body
        self._deadline = deadline
        self._clock = clock

    @classmethod
    def after(cls, response: Response, deadline: float, clock: Clock) -> Response:
        """The response with such a body, where it comes in pieces and has an end."""
        body = response.body
        media = (response.headers.get("content-type") or "").lower()
        if isinstance(body, Whole) or body.length is None or media.startswith("text/event-stream"):
            return response
        return response.with_body(cls(body, deadline, clock))

    @property
    def length(self) -> int | None:
        return self._body.length

    async def read(self) -> bytes:
        try:
            async with asyncio.timeout(self._deadline - self._clock.now()):
                return await self._body.read()
        except TimeoutError:
            raise DeadlineExceededError("The answer was not complete in time.", sent=True) from None

    def close(self) -> None:
        self._body.close()
