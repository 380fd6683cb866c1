"""How does an answer's body reach whoever reads it?

The law: whole or visibly broken. A body that was cut short, or stays silent too long, raises and takes
its connection with it; a connection goes back to the pool once, and only behind a complete answer.
"""

from __future__ import annotations

import asyncio

from aiohttp.connector import Connection
from aiohttp.streams import StreamReader

from proxy.core.failure import APIError, DeadlineExceededError, UpstreamTimeoutError
from proxy.upstream.patience import LAST_LOOK
from proxy.upstream.translate import LIBRARY_ERRORS, translate
from proxy.upstream.upload import Upload
from proxy.upstream.wire import Wire, arrived, unread

_EARLY = 0.001


class Arriving:
    """A response body still on the wire. Times are the loop's, in seconds.

    `total` is the point until which the whole body has to be here, None for a stream. `upload` is the
    request's body where that is still being sent.
    """

    __slots__ = (
        "_connection",
        "_due",
        "_handle",
        "_idle",
        "_looked",
        "_over",
        "_payload",
        "_place",
        "_total",
        "_upload",
        "_waiting",
        "_wire",
        "length",
    )

    def __init__(
        self,
        connection: Connection,
        wire: Wire,
        payload: StreamReader,
        *,
        length: int | None,
        idle: float,
        total: float | None,
        upload: Upload | None,
        place: str,
    ) -> None:
        self._connection = connection
        self._wire = wire
        self._payload = payload
        self.length = length
        self._idle = idle
        self._total = total
        self._upload = upload
        self._place = place
        self._over = False
        self._waiting = False
        self._looked = 0.0  # the end of a wait for which there was a last look
        self._due = 0.0
        self._handle: asyncio.TimerHandle | None = None

    async def read(self) -> bytes:
        if self._over:
            return b""
        payload = self._payload
        data = unread(payload)
        if data:
            return data
        self._watch()
        try:
            data = await payload.readany()
        except (APIError, *LIBRARY_ERRORS) as error:
            self._abandon()
            if self._upload is not None and self._upload.fault is not None:
                raise self._upload.fault from None
            if isinstance(error, APIError):
                raise
            raise translate(error, place=self._place, sent=True) from None
        finally:
            self._waiting = False
        if not data:
            self._finish()
        return data

    def close(self) -> None:
        if self._over:
            return
        if self._wire.complete():
            self._finish()
        else:
            self._abandon()

    def _finish(self) -> None:
        """The answer is complete: the connection may serve the next request."""
        self._over = True
        self._unwatch()
        if self._upload is not None and not self._upload.done:
            # The upstream wants no more of the request, and the next one cannot follow half of it.
            self._upload.cancel()
            self._wire.abort()
            self._connection.close()
        else:
            self._connection.release()

    def _abandon(self) -> None:
        self._over = True
        self._unwatch()
        if self._upload is not None:
            self._upload.cancel()
        self._wire.abort()
        self._connection.close()

    def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        self._waiting = True
        self._due = loop.time() + self._idle
        if self._handle is None:
            self._handle = loop.call_at(self._limit(), self._fire)

    def _unwatch(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _limit(self) -> float:
        return self._due if self._total is None else min(self._due, self._total)

    def _fire(self) -> None:
        # A reader that pauses is not the upstream's silence: its next read starts the wait anew.
        self._handle = None
        if not self._waiting:
            return
        loop = asyncio.get_running_loop()
        limit = self._limit()
        if loop.time() < limit - _EARLY:
            self._handle = loop.call_at(limit, self._fire)
        elif self._looked != limit:
            self._looked = limit
            self._handle = loop.call_later(LAST_LOOK, self._fire)
        elif self._total is not None and self._total <= self._due:
            self._payload.set_exception(
                DeadlineExceededError("The answer was not complete in time.", sent=True)
            )
        elif not arrived(self._payload):  # else its reader has only not run yet
            self._payload.set_exception(
                UpstreamTimeoutError(f"{self._place} sent nothing for {self._idle:g} s.", sent=True)
            )
