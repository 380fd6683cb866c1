"""How does a credential's own request get to its token endpoint, and the answer back?

Over the same session as everything else, with the same refusals of what makes no sense; one attempt, no
redirect, and no more of the answer than a token needs.
"""

from __future__ import annotations

import asyncio

from proxy.core.failure import DeadlineExceededError, UpstreamProtocolError, UpstreamTimeoutError
from proxy.core.message import Request, Whole
from proxy.core.ports import Reply
from proxy.core.routing import Origin, Timeouts
from proxy.upstream.session import Call, Session

_MOST = 64 * 1024  # bytes of an answer


class Errand:
    """Satisfies the port `Fetch`."""

    __slots__ = ("_session",)

    def __init__(self, session: Session) -> None:
        self._session = session

    async def __call__(self, request: Request, origin: Origin, *, within: float) -> Reply:
        body = request.body
        if not isinstance(body, Whole):
            raise TypeError("an errand's body is all there")
        timeouts = Timeouts(attempt=within, idle=within, total=within)
        call = Call(request=request, body=body, origin=origin, timeouts=timeouts, remaining=within)
        try:
            async with asyncio.timeout(within):
                response = await self._session.send(call)
                try:
                    content = bytearray()
                    while piece := await response.body.read():
                        content += piece
                        if len(content) > _MOST:
                            raise UpstreamProtocolError("The answer is longer than any token.", sent=True)
                finally:
                    response.body.close()
        except (TimeoutError, DeadlineExceededError):
            raise UpstreamTimeoutError(f"nothing within {within:g} s.", sent=True) from None
        return Reply(status=response.status, headers=response.headers, body=bytes(content))
