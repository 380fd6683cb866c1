"""How does a large or endless request body get out while the answer may come at any time?

The law: the upstream sees a complete request only where the caller sent one. Nothing is pulled from the
caller that the upstream does not take.
"""

from __future__ import annotations

import asyncio

from proxy.core.failure import APIError, BadRequestError
from proxy.core.message import Whole
from proxy.core.routing import Timeouts
from proxy.upstream.patience import Patience
from proxy.upstream.replay import Replay
from proxy.upstream.translate import LIBRARY_ERRORS
from proxy.upstream.wire import Wire

_PIECE = 64 * 1024


class Upload:
    """A task that writes one body; `fault` is what the caller's side of it raised."""

    __slots__ = ("_body", "_patience", "_task", "_timeouts", "_wire", "done", "fault")

    def __init__(self, wire: Wire, body: Whole | Replay, patience: Patience, timeouts: Timeouts) -> None:
        self._wire = wire
        self._body = body
        self._patience = patience
        self._timeouts = timeouts
        self.done = False
        self.fault: BaseException | None = None
        self._task = asyncio.get_running_loop().create_task(self._run())

    def cancel(self) -> None:
        self._task.cancel()

    async def stop(self) -> None:
        """Ends it; the body may be read by somebody else afterwards."""
        if not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        try:
            await self._write_all()
            self.done = True
        except LIBRARY_ERRORS:
            # The connection broke: whoever waits for the answer learns it from there.
            return
        except APIError as fault:
            self.fault = fault
            self._wire.give_up()

    async def _write_all(self) -> None:
        wire, patience, attempt = self._wire, self._patience, self._timeouts.attempt
        left = self._body.length
        while True:
            patience.renew(self._timeouts.idle, of_caller=True)
            piece = await self._next()
            patience.renew(attempt)
            if not piece:
                break
            if left is None:
                framed = memoryview(b"%x\r\n%b\r\n" % (len(piece), piece))
            else:
                framed = memoryview(piece)
                left -= len(piece)
                if left < 0:
                    raise BadRequestError("The request body is longer than its Content-Length says.")
            for start in range(0, len(framed), _PIECE):
                if wire.stirred():
                    # Lets an answer in before a write can fail and take it away.
                    await asyncio.sleep(0)
                wire.write(framed[start : start + _PIECE])
                if left == 0 and start + _PIECE >= len(framed):
                    return  # the answer may come before this task runs again: all is said
                await wire.drain()
                patience.renew(attempt)
        if left is None:
            wire.write(b"0\r\n\r\n")
        elif left:
            raise BadRequestError("The request body is shorter than its Content-Length says.")

    async def _next(self) -> bytes:
        try:
            return await self._body.read()
        except APIError:
            raise
        except Exception as error:
            raise BadRequestError("The request body broke off.") from error
