"""Where is kept what is too large for memory, and who can read it?

In a file without a name, which nobody but this process can open and which is gone with it, whatever
happens. The folder is the system's for temporary files (TMPDIR). The event loop never waits for the disk:
a few threads of its own do, so that a slow disk holds up nobody who looks up a name.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

_THREADS = 2

T = TypeVar("T")


class Spools:
    """Makes files for one event loop. `folder` is the system's where it is None."""

    def __init__(self, folder: str | None = None) -> None:
        self._folder = folder
        self._threads: ThreadPoolExecutor | None = None

    async def open(self) -> Spool:
        """An empty file. Raises OSError."""
        return Spool(await self.run(self._made), self)

    async def run(self, work: Callable[[], T]) -> T:
        """The outcome of something that may wait for the disk."""
        return await asyncio.get_running_loop().run_in_executor(self._started(), work)

    def later(self, work: Callable[[], None]) -> None:
        """Does something that nobody waits for."""
        try:
            self._started().submit(work)
        except RuntimeError:  # the process is ending
            work()

    def _started(self) -> ThreadPoolExecutor:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_THREADS, "spool")
        return self._threads

    def _made(self) -> _File:
        # Mode 0600, and closed for programs that are started from here.
        descriptor, name = tempfile.mkstemp(prefix="leeward-", dir=self._folder)
        file = _File(descriptor)
        Path(name).unlink()
        return file


class Spool:
    """One file, by the places of its bytes."""

    __slots__ = ("_file", "_spools")

    def __init__(self, file: _File, spools: Spools) -> None:
        self._file = file
        self._spools = spools

    async def write(self, offset: int, data: bytes) -> None:
        """Raises OSError. One that is given up may still be done: the same bytes may be written again."""
        await self._spools.run(lambda: self._file.write(offset, data))

    async def read(self, offset: int, size: int) -> bytes:
        """At most so many bytes, at least one where there are any. Raises OSError."""
        return await self._spools.run(lambda: self._file.read(offset, size))

    def close(self) -> None:
        """Nothing can be read any more. Closing twice does nothing."""
        self._spools.later(self._file.close)


class _File:
    """A descriptor that is never used after it was closed: another file may have its number then."""

    __slots__ = ("_descriptor", "_lock")

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def write(self, offset: int, data: bytes) -> None:
        left = memoryview(data)
        with self._lock:
            while left:
                written = os.pwrite(self._descriptor, left, offset)
                left, offset = left[written:], offset + written

    def read(self, offset: int, size: int) -> bytes:
        with self._lock:
            return os.pread(self._descriptor, size, offset)

    def close(self) -> None:
        with self._lock:
            descriptor, self._descriptor = self._descriptor, -1
            if descriptor >= 0:
                os.close(descriptor)

    def __del__(self) -> None:
        with suppress(OSError):
            self.close()
