"""How do the supervisor and a worker speak with each other?

JSON both ways over a socket pair, each message behind its length. Either side may ask or tell; an answer
finds its question by a number. The other process's end is the end of the conversation.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from itertools import count
from struct import Struct
from typing import Any

_LOGGER = logging.getLogger("leeward")
_LENGTH = Struct("!I")
_MOST = 64 * 1024 * 1024  # bytes of a message

Answer = Callable[[str, Mapping[str, Any]], Awaitable[Any]]


class GoneError(Exception):
    """The other process has ended, or its end of the channel has."""


class RefusedError(Exception):
    """The other side does not do what it was asked; `kind` says why, for programs, and `detail` for people.

    Raised by an `Answer`, it is raised by `ask` over there.
    """

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail


class Channel:
    """One side of it. `answer` is called with what is asked or told, and raises RefusedError."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._numbers = count(1)
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.closed = asyncio.Event()

    async def open(self, own: socket.socket) -> None:
        reader, self._writer = await asyncio.open_unix_connection(sock=own)
        self._start(self._read(reader))

    async def ask(self, what: str, /, *, timeout: float, **arguments: Any) -> Any:  # noqa: ASYNC109 - ours to give
        """The answer. Raises GoneError, RefusedError or, after `timeout` seconds, TimeoutError."""
        number = next(self._numbers)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        try:
            self._send({"ask": what, "number": number, "with": arguments})
            async with asyncio.timeout(timeout):
                return await answer
        finally:
            self._asked.pop(number, None)

    def tell(self, what: str, /, **arguments: Any) -> None:
        """Asks for nothing, and nobody hears whether it arrived."""
        with suppress(GoneError):
            self._send({"ask": what, "with": arguments})

    async def heard(self) -> None:
        """Waits for the end of the conversation, and until all that was said has been taken in."""
        await self.closed.wait()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def close(self) -> None:
        """What was told before is sent."""
        if self._writer is not None:
            self._writer.close()
            with suppress(OSError):
                await self._writer.wait_closed()
        self._end()

    def _send(self, message: Mapping[str, Any]) -> None:
        if self._writer is None or self.closed.is_set() or self._writer.is_closing():
            raise GoneError
        encoded = json.dumps(message, separators=(",", ":")).encode()
        self._writer.write(_LENGTH.pack(len(encoded)) + encoded)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
                if length > _MOST:
                    break
                self._received(json.loads(await reader.readexactly(length)))
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self._end()

    def _received(self, message: Mapping[str, Any]) -> None:
        if "ask" in message:
            self._start(self._answered(message))
            return
        answer = self._asked.get(message["of"])
        if answer is None or answer.done():
            return
        if "refused" in message:
            answer.set_exception(RefusedError(*message["refused"]))
        else:
            answer.set_result(message["is"])

    async def _answered(self, message: Mapping[str, Any]) -> None:
        number = message.get("number")
        reply: dict[str, Any] = {"of": number}
        try:
            reply["is"] = await self._answer(message["ask"], message["with"])
        except RefusedError as error:
            reply["refused"] = [error.kind, error.detail]
        except Exception:
            _LOGGER.exception("What the other process asked for failed: %s", message["ask"])
            reply["refused"] = ["failed", "Something failed inside the worker; its log says what."]
        if number is not None:
            with suppress(GoneError):
                self._send(reply)

    def _start(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _end(self) -> None:
        self.closed.set()
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(GoneError())
        if self._writer is not None:
            self._writer.close()
