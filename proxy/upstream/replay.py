"""Can the request's body be sent again from its first byte?

The law: what is sent again is what was sent, or nothing is. Bytes are kept in memory up to the route's
`max_replay_body`, beyond it on disk up to its `max_spool_body`; of all requests together no more than the
rooms hold. A body that outgrows this is sent once, and says why.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import field, replace

from proxy.core.allowance import Allowance
from proxy.core.exchange import Exchange
from proxy.core.failure import BadRequestError, InternalError
from proxy.core.message import Body, Request, Whole
from proxy.core.reason import Reason
from proxy.core.resilience.retry import RetryPolicy
from proxy.core.value import dataclass
from proxy.upstream.spool import Spool, Spools

# So much goes out in one write, together with the head; it is gathered before a connection is taken.
ONE_WRITE = 64 * 1024
_PIECE = 64 * 1024  # read from disk at once
_LOGGER = logging.getLogger("leeward.upstream")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rooms:
    """What the bodies of all requests together may take."""

    memory: Allowance = field(default_factory=lambda: Allowance(64 * 1024 * 1024))
    disk: Allowance = field(default_factory=lambda: Allowance(1024 * 1024 * 1024))
    spools: Spools = field(default_factory=Spools)

    def held(self) -> dict[str, int]:
        """Bytes by place."""
        return {"memory": self.memory.held, "disk": self.disk.held}

    def bounded(self, *, memory: int, disk: int) -> Rooms:
        """The same with other bounds, in bytes; what is held stays held."""
        self.memory.most, self.disk.most = memory, disk
        return self


class Replay:
    """A request body that remembers what was pulled from it.

    At most `most` bytes are kept in memory, and `spooled` on disk where that is more.
    """

    __slots__ = (
        *("_file", "_final", "_kept", "_keeping", "_memory", "_most", "_next", "_on_disk", "_position"),
        *("_rooms", "_source", "_spooled", "_started", "_taken", "_written", "unkept"),
    )

    def __init__(self, source: Body, most: int, *, spooled: int = 0, rooms: Rooms | None = None) -> None:
        self._source = source
        self._most = most
        self._spooled = spooled
        self._rooms = Rooms() if rooms is None else rooms
        self._kept: list[bytes] = []  # in memory: all of it, or what is not yet on disk
        self._memory = 0  # bytes of the above
        self._taken = 0  # of these, what the room knows of
        self._next = 0  # the next of them to be given out, while all is in memory
        self._on_disk = False
        self._file: Spool | None = None
        self._written = 0  # bytes in it, which its room knows of
        self._position = 0  # of the next byte to be given out, once it is on disk
        self._started = False
        self._final = False
        self._keeping = True
        self.unkept: Reason | None = None
        length = source.length
        if length is None:
            return
        # What cannot fit is not kept in the first place, nor is what belongs on disk in memory.
        if length > max(most, spooled):
            self._give_up(Reason.BODY_TOO_LARGE)
        elif length > most:
            self._on_disk = True

    @property
    def length(self) -> int | None:
        return self._source.length

    @property
    def replayable(self) -> bool:
        return self._keeping or not self._started

    async def read(self) -> bytes:
        """As a Body. Raises InternalError where what was kept cannot be had back."""
        if self._keeping:
            piece = await self._again()
            if piece:
                return piece
        if self._final:
            self._release()
        piece = await self._source.read()
        self._started = True
        if self._keeping and piece:
            await self._keep(piece)
        return piece

    def rewind(self) -> None:
        self._next = self._position = 0

    def forget(self) -> None:
        """It is not sent again: only what is still to be given out of what is kept is needed."""
        self._final = True
        if not self._unread():
            self._release()

    def close(self) -> None:
        self._release()
        self._source.close()

    def __del__(self) -> None:
        # Of one that was neither read to its end nor closed: its answer came before.
        with suppress(AttributeError):
            self._release()

    def _unread(self) -> bool:
        if not self._on_disk:
            return self._next < len(self._kept)
        return self._position < self._written + self._memory

    async def _again(self) -> bytes:
        """A piece of what was pulled before; empty at its end."""
        if not self._on_disk:
            if self._next == len(self._kept):
                return b""
            piece = self._kept[self._next]
            self._next += 1
            return piece
        if self._position < self._written + self._memory:
            try:
                if self._kept:
                    await self._write()  # what an attempt that was given up has left
                if self._file is not None:
                    size = min(_PIECE, self._written - self._position)
                    piece = await self._file.read(self._position, size)
                    self._position += len(piece)
                    if piece:
                        return piece
            except OSError as error:
                raise InternalError("The request body that was kept on disk cannot be read.") from error
            raise InternalError("The request body that was kept on disk is not there any more.")
        return b""

    async def _keep(self, piece: bytes) -> None:
        """Remembers the piece that was just pulled, where it may."""
        if not self._on_disk:
            fits = self._memory + len(piece) <= self._most
            if fits and self._rooms.memory.take(len(piece)):
                self._taken += len(piece)
                self._memory += len(piece)
                self._kept.append(piece)
                self._next += 1
                return
            if self._spooled <= self._memory:
                self._give_up(Reason.NO_ROOM if fits else Reason.BODY_TOO_LARGE)
                return
            self._on_disk = True
            self._position = self._memory
        if self._written + self._memory + len(piece) > self._spooled:
            self._give_up(Reason.BODY_TOO_LARGE)
            return
        # Before anything is waited for: who is stopped there must find it.
        self._kept.append(piece)
        self._memory += len(piece)
        try:
            await self._write()
        except OSError as error:
            _LOGGER.warning("A request body cannot be kept on disk, so it is sent once: %s", error.strerror)
            self._give_up(Reason.SPOOL_FAILED)
        self._position += len(piece)

    async def _write(self) -> None:
        """What is in memory goes to disk. Raises OSError."""
        data = b"".join(self._kept)
        if not self._rooms.disk.take(len(data)):
            self._give_up(Reason.NO_ROOM)
            return
        begun = self._written
        try:
            if self._file is None:
                self._file = await self._rooms.spools.open()
            await self._file.write(begun, data)
        except BaseException:
            self._rooms.disk.give(len(data))
            raise
        self._written += len(data)
        self._drop_memory()

    def _give_up(self, reason: Reason) -> None:
        self.unkept = reason
        self._release()

    def _release(self) -> None:
        """Keeps nothing from here on."""
        self._keeping = False
        self._drop_memory()
        self._rooms.disk.give(self._written)
        self._written = 0
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _drop_memory(self) -> None:
        self._kept = []
        self._memory = 0
        self._rooms.memory.give(self._taken)
        self._taken = 0


async def prepared(body: Body, most: int, *, spooled: int = 0, rooms: Rooms | None = None) -> Whole | Replay:
    """The body as the attempts use it: small ones whole, large ones remembered as `Replay` says.

    Raises what the caller's body raises; BadRequestError where it is not as long as it says. What was
    gathered here is given back by `finished`.
    """
    if isinstance(body, Whole):
        return body
    length, rooms = body.length, rooms or Rooms()
    if length is None or length > ONE_WRITE or not rooms.memory.take(length):
        return Replay(body, most, spooled=spooled, rooms=rooms)
    try:
        pieces: list[bytes] = []
        while piece := await body.read():
            pieces.append(piece)
        whole = Whole(b"".join(pieces))
        if whole.length != length:
            raise BadRequestError("The request body is not as long as its Content-Length says.")
    except BaseException:
        rooms.memory.give(length)
        raise
    return whole


def finished(body: Whole | Replay, source: Body, rooms: Rooms, most: int) -> Reason | None:
    """After the last attempt: gives back what is not needed any more. Why it was not kept, if it was not."""
    match body:
        case Whole():
            if body is not source:
                rooms.memory.give(body.length)
            return None if body.length <= most else Reason.BODY_TOO_LARGE
        case Replay():
            body.forget()
            return body.unkept


@asynccontextmanager
async def keeping(
    request: Request, policy: RetryPolicy, rooms: Rooms, exchange: Exchange
) -> AsyncIterator[tuple[Request, Whole | Replay]]:
    """For all attempts together: the request with its body as they use it, and that body."""
    source, again = request.body, policy.attempts > 1
    spooled = policy.max_spool_body if again else 0
    body = await prepared(source, policy.max_replay_body, spooled=spooled, rooms=rooms)
    try:
        yield request if body is source else replace(request, body=body), body
    finally:
        unkept = finished(body, source, rooms, policy.most_kept)
        exchange.unkept = unkept if again else None


def replayable(body: Whole | Replay, most: int) -> bool:
    """Whether `rewind` leads back to the first byte, within the route's bound."""
    match body:
        case Whole():
            return body.length <= most
        case Replay():
            return body.replayable
