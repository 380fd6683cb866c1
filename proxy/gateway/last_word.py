"""How does a stream of events that breaks say so?

The law: whole events pass, and what is cut within an event does not: nobody could tell it from a whole
one. Where the source fails, one more event says so in the API's own words, and then the failure is raised
all the same, for the answer is not complete.
"""

from __future__ import annotations

from proxy.core import native
from proxy.core.dialect import Form
from proxy.core.expression import expression
from proxy.core.failure import APIError
from proxy.core.message import Body, Response

_MOST_HELD = 64 * 1024  # bytes of one event; a longer one passes as it comes
# An event ends with an empty line; a line with LF, CR or CRLF.
_END = expression(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?!\n))")


def is_stream(response: Response) -> bool:
    """Whether this is a stream of events as it comes, of unknown length and in no coding."""
    media = (response.headers.get("content-type") or "").partition(";")[0].strip().lower()
    names = response.headers.names()
    plain = "content-length" not in names and "content-encoding" not in names
    return media == "text/event-stream" and plain and response.body.length is None


class LastWord:
    """A body of events, and one more where it breaks."""

    __slots__ = ("_body", "_failure", "_form", "_held", "_over", "_request_id")

    def __init__(self, body: Body, form: Form, *, request_id: str) -> None:
        self._body = body
        self._form = form
        self._request_id = request_id
        self._held = b""
        self._over = False  # an event that is too long to be held is under way
        self._failure: APIError | None = None

    @property
    def length(self) -> None:
        return None

    async def read(self) -> bytes:
        """Raises APIError, after the event that told of it."""
        if self._failure is not None:
            raise self._failure
        while True:
            try:
                piece = await self._body.read()
            except APIError as failure:
                told = native.event(failure, self._form, request_id=self._request_id)
                if told is None or self._over:
                    raise
                self._failure = failure
                failure.told = True
                return told
            if not piece:
                piece, self._held = self._held, b""
                return piece
            ready = self._whole(self._held + piece)
            if ready:
                return ready

    def _whole(self, data: bytes) -> bytes:
        """All events that have ended; the rest is held."""
        end = max((found.end() for found in _END.finditer(data)), default=0)
        if end == 0 and (self._over or len(data) > _MOST_HELD):
            self._over, self._held = True, b""
            return data
        if len(data) - end > _MOST_HELD:
            self._over, self._held = True, b""
            return data
        if end:
            self._over = False
        self._held = data[end:]
        return data[:end]

    def close(self) -> None:
        self._body.close()
