"""How do many callers read one answer while it arrives, and when is it whole?

The law: an answer is kept only when its source ended cleanly at the length that it announced, and before
anybody holds its last byte. What proves too large to keep goes on as a window: the slowest reader holds
the source back. When the last reader leaves, the source is stopped. An error reaches every reader.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from copy import copy
from itertools import accumulate

from proxy.core.allowance import Allowance
from proxy.core.failure import APIError, UpstreamProtocolError
from proxy.core.message import Body
from proxy.gateway.refresh import Refresh

WINDOW = 1024 * 1024  # bytes held beyond the slowest reader of what is not kept
_PIECE = 64  # what the interpreter needs for a piece beside its bytes: tiny pieces are not free


class Fill:
    """One body, pulled once, read by many.

    `limit` is the most bytes that may be kept, `length` what the head announced. `kept` is awaited
    with the whole body when it is complete; `ended` is called once, when nobody new may join: kept,
    too large, failed or given up.
    """

    __slots__ = (
        *("_allowance", "_allowed", "_chunks", "_complete", "_ended", "_error", "_first"),
        *("_held", "_kept", "_limit", "_over", "_pending", "_pulse", "_readers", "_room", "_source"),
        *("_task", "_total", "joinable", "length", "outgrown"),
    )

    def __init__(
        self,
        source: Body,
        *,
        limit: int,
        length: int | None,
        allowance: Allowance,
        kept: Callable[[bytes], Awaitable[None]],
        ended: Callable[[], None],
    ) -> None:
        self.length = length
        self.joinable = True
        self.outgrown = False  # it proved larger than an entry may be
        self._source = source
        self._limit = limit
        self._allowance = allowance
        self._kept = kept
        self._ended = ended
        self._chunks: list[bytes] | deque[bytes] = []
        self._first = 0  # the number of the first chunk still held
        self._pending: deque[int] | None = None  # of a window: readers that still need each chunk
        self._held = 0
        self._total = 0
        self._readers: set[Reader] = set()
        self._pulse = asyncio.Event()
        self._room = asyncio.Event()
        self._error: APIError | None = None
        self._allowed = 0  # what of it the allowance has been told
        self._complete = False  # the source ended well; the rest is ours to do
        self._over = False
        self._task: asyncio.Task[None] | None = None

    def reader(self) -> Reader:
        """One more reader, from the first byte. Only while `joinable`."""
        reader = Reader(self)
        self._readers.add(reader)
        return reader

    def start(self, refresh: Refresh) -> None:
        """Begins to pull, in a task of its own; at least one reader must be there."""
        self._task = refresh.start(self._pump(), name="fill")
        # Also where the task is cancelled before its first step, or fails in a way that nobody foresaw.
        self._task.add_done_callback(lambda _task: self._stop(None))

    def slide(self) -> None:
        """Gives up keeping: from here on only what a present reader still needs is held."""
        if self._pending is not None or self._over:
            return
        begun = [0] * len(self._chunks)
        for reader in self._readers:
            if reader.position < len(begun):
                begun[reader.position] += 1
        self._pending = deque(accumulate(begun))
        self._chunks = deque(self._chunks)
        self._leave_flight()
        self._trim()

    async def _pump(self) -> None:
        try:
            await self._pull()
        except APIError as error:
            self._stop(error)

    async def _pull(self) -> None:
        last = b""
        while chunk := await self._source.read():
            self._total += len(chunk)
            if self._total == self.length:
                # Held back until it is kept: who has all of it and asks again finds it stored.
                last = chunk
                continue
            if self.length is not None and self._total > self.length:
                raise UpstreamProtocolError("The body is longer than its head announced.", sent=True)
            self._push(chunk)
            while self._pending is not None and self._held > WINDOW:
                self._room.clear()
                await self._room.wait()
        if self.length is not None and self._total != self.length:
            raise UpstreamProtocolError("The body is shorter than its head announced.", sent=True)
        self._complete = True
        if self._pending is None:
            await self._kept(b"".join((*self._chunks, last)))
        if last:
            self._append(last)
        self._finish()

    def _push(self, chunk: bytes) -> None:
        if self._pending is None:
            cost = len(chunk) + _PIECE
            over = self._allowance.held + cost > self._allowance.most
            self.outgrown = self._total > self._limit
            # Held in pieces much smaller than usual, it would take many times its size.
            crumbs = self._held > 2 * self._limit
            if self.outgrown or over or crumbs:
                self.slide()
            else:
                self._allowance.held += cost
                self._allowed += cost
        self._append(chunk)

    def _append(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self._held += len(chunk) + _PIECE
        if self._pending is not None:
            self._pending.append(len(self._readers))
        self._wake()

    def take(self, reader: Reader) -> bytes | None:
        """A reader's next chunk; None where it has to wait, b"" at the end. Raises what ended it."""
        index = reader.position - self._first
        if index < len(self._chunks):
            chunk = self._chunks[index]
            reader.position += 1
            if self._pending is not None:
                self._pending[index] -= 1
                self._trim()
            return chunk
        if self._error is not None:
            # Each reader raises its own: a shared one would gather the traces of all.
            raise copy(self._error)
        return b"" if self._over else None

    async def more(self) -> None:
        """Waits until there is something new to see."""
        await self._pulse.wait()

    def leave(self, reader: Reader) -> None:
        """One reader less; the last one stops the source."""
        if reader not in self._readers:
            return
        self._readers.discard(reader)
        if self._pending is not None:
            for index in range(reader.position - self._first, len(self._pending)):
                self._pending[index] -= 1
            self._trim()
        # Who expects no content need not read it; such an answer is whole all the same.
        empty = self.length == 0
        if not self._readers and not self._over and not self._complete and not empty:
            self._stop(None)
            if self._task is not None:
                self._task.cancel()

    def _trim(self) -> None:
        """Lets go of the chunks that no reader needs any more."""
        pending, chunks = self._pending, self._chunks
        if pending is None or not isinstance(chunks, deque):
            return
        while pending and pending[0] == 0:
            pending.popleft()
            self._held -= len(chunks.popleft()) + _PIECE
            self._first += 1
        if self._held <= WINDOW:
            self._room.set()

    def _finish(self) -> None:
        self._over = True
        self._leave_flight()
        self._source.close()
        self._wake()
        # Both refer to this as well: each answer, with all it came from, would be left as garbage.
        self._kept, self._ended = _nowhere, _nobody

    def _stop(self, error: APIError | None) -> None:
        """Ends it before its end; who still reads is told that it was cut short."""
        if self._over:
            return
        self._error = error or UpstreamProtocolError("The transfer was given up.", sent=True)
        self._finish()

    def _leave_flight(self) -> None:
        if not self.joinable:
            return
        self.joinable = False
        self._allowance.held -= self._allowed
        self._ended()

    def _wake(self) -> None:
        # Wakes who waits now; who comes later looks before it waits.
        self._pulse.set()
        self._pulse.clear()


async def _nowhere(_: bytes) -> None:
    """Where to keep what is over."""


def _nobody() -> None:
    """Whom to tell that it is."""


class Reader:
    """A Body: one caller's view of a fill."""

    __slots__ = ("_closed", "_fill", "_whole", "position")

    def __init__(self, fill: Fill) -> None:
        self._fill = fill
        self._closed = False
        self._whole = False
        self.position = 0  # the number of the next chunk

    @property
    def length(self) -> int | None:
        return self._fill.length

    async def read(self) -> bytes:
        while not self._closed:
            try:
                chunk = self._fill.take(self)
            except APIError:
                self.close()
                raise
            if chunk is None:
                await self._fill.more()
                continue
            if not chunk:
                self._whole = True
                self.close()
            return chunk
        if not self._whole:
            raise UpstreamProtocolError("The transfer was given up.", sent=True)
        return b""

    def close(self) -> None:
        self._closed = True
        self._fill.leave(self)
