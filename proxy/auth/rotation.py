"""Where does a refresh token outlive the process that got it in exchange for the one before?

The law: one process at a time exchanges it; what is in the file is whole, the old or the new; nobody but
its owner can read it. A file that belongs to another configured token is as good as none.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import json
import logging
import os
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from proxy.core.failure import CredentialError
from proxy.core.value import dataclass

_LOGGER = logging.getLogger("leeward.auth")
_MOST = 64 * 1024  # bytes of the file
_PATIENCE = 15.0  # seconds for the others' turns
_LOOK = 0.05  # seconds between two tries


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What is kept. `origin` marks the configured token that all this descends from.

    `obtained` is a wall-clock second, `lifetime` in seconds; `turn` counts the exchanges since `origin`.
    """

    origin: str
    refresh: str
    token: str = ""
    obtained: float = 0.0
    lifetime: float | None = None
    turn: int = 0

    def __repr__(self) -> str:
        return "Kept()"

    def left(self, wall: float) -> float | None:
        """Seconds that the access token has left, where it is still worth using; None where it is not.

        A clock that was set back would make it live on for too long: an age below zero is no age.
        """
        if self.lifetime is None:
            return None
        age = wall - self.obtained
        left = self.lifetime - age
        return left if age >= 0 and left > self.lifetime / 4 else None


def mark(url: str, token: str) -> str:
    """Tells configured tokens apart, and cannot be turned back into one."""
    return hashlib.sha256(f"leeward refresh token:{url}:{token}".encode()).hexdigest()[:32]


class Shelf:
    """One file and its lock, for all workers on this machine."""

    __slots__ = ("path",)

    def __init__(self, path: Path) -> None:
        self.path = path

    @staticmethod
    def warn_of_none() -> None:
        _LOGGER.warning(
            "The provider replaced the refresh token, and no state_file is set: after a restart it is lost"
        )

    @contextlib.asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        """Until the block ends no other process has it. Raises CredentialError."""
        try:
            descriptor = await asyncio.to_thread(self._opened)
        except OSError as error:
            raise CredentialError(
                f"The lock beside {self.path} cannot be opened: {error.strerror}."
            ) from None
        try:
            await self._lock(descriptor)
            yield
        finally:
            os.close(descriptor)  # and with it goes the lock

    async def _lock(self, descriptor: int) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                while True:
                    try:
                        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    except BlockingIOError:
                        await asyncio.sleep(_LOOK)
                    else:
                        return
        except TimeoutError:
            raise CredentialError(f"Another process holds the lock beside {self.path}.") from None

    def _opened(self) -> int:
        # Not the file itself: that is replaced, and a lock on what was replaced holds nobody off.
        lock = self.path.with_name(self.path.name + ".lock")
        return os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    async def read(self, origin: str) -> Kept | None:
        """What descends from the configured token of this mark; None where there is nothing of that kind."""
        kept = await asyncio.to_thread(self._read)
        return kept if kept is not None and kept.origin == origin else None

    def _read(self) -> Kept | None:
        try:
            with self.path.open("rb") as file:
                said: Any = json.loads(file.read(_MOST))
            return _kept(said)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            _LOGGER.warning("What %s holds cannot be used: %s", self.path, type(error).__name__)
            return None

    async def write(self, kept: Kept) -> None:
        """Whole or not at all. A failure is told in the log: the token serves on in memory."""
        try:
            await asyncio.to_thread(self._write, json.dumps(asdict(kept)).encode())
        except OSError as error:
            _LOGGER.warning("The refresh token could not be written to %s: %s", self.path, error.strerror)

    def _write(self, data: bytes) -> None:
        descriptor, name = tempfile.mkstemp(prefix=f".{self.path.name}.", dir=self.path.parent)  # mode 0600
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self.path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def _kept(said: Mapping[str, Any]) -> Kept:
    """Raises ValueError, TypeError and KeyError for what this file did not write."""
    texts = [said[name] for name in ("origin", "refresh", "token")]
    if not all(isinstance(text, str) for text in texts) or not said["refresh"]:
        raise ValueError("another file's content")
    lifetime = said["lifetime"]
    return Kept(
        origin=texts[0],
        refresh=texts[1],
        token=texts[2],
        obtained=float(said["obtained"]),
        lifetime=None if lifetime is None else float(lifetime),
        turn=int(said.get("turn", 0)),
    )
