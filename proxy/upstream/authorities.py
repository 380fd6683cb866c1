"""When are the system's certificate authorities read?

aiohttp reads them while it is imported, which is a tenth of a start, although the first https upstream
may be called much later, or never. Here they are read once, when they are wanted, in a thread.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def unread() -> Iterator[None]:
    """For the first import of aiohttp: the contexts that it makes then trust nobody, and are never used."""
    reading = ssl.create_default_context
    ssl.create_default_context = _trusting_nobody
    # The context that aiohttp makes for unverified calls looks for them as well. The method is the C class's;
    # what is set here hides it and is taken away again.
    ssl.SSLContext.set_default_verify_paths = _looking_nowhere  # type: ignore[method-assign]  # for a moment
    try:
        yield
    finally:
        ssl.create_default_context = reading
        del ssl.SSLContext.set_default_verify_paths


def _trusting_nobody(*_args: object, **_named: object) -> ssl.SSLContext:
    # Certificates are required and none is accepted: should it ever be used, it fails closed.
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _looking_nowhere(self: ssl.SSLContext) -> None:
    del self


class Authorities:
    """The system's authorities as a context for upstreams that have none of their own."""

    __slots__ = ("_reading",)

    def __init__(self) -> None:
        self._reading: asyncio.Task[ssl.SSLContext] | None = None

    async def context(self) -> ssl.SSLContext:
        """Verifies names and certificates; the same object each time."""
        if self._reading is None or (self._reading.done() and self._reading.cancelled()):
            self._reading = asyncio.create_task(_read(), name="certificate authorities")
        # A caller that leaves must not stop what others wait for.
        return await asyncio.shield(self._reading)


async def _read() -> ssl.SSLContext:
    return await asyncio.to_thread(ssl.create_default_context)
