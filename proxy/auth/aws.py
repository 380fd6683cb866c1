"""With which AWS credentials is signed? Those that are written, or those that botocore's chain finds.

The chain is botocore's own: environment, shared files, SSO, web identity, container, instance; and so are
its renewals. It is imported where a configuration needs it, and called in a thread, because it reads files
and asks other services.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from dataclasses import field
from datetime import datetime
from typing import Any, Protocol

from proxy.auth.placing import revealed
from proxy.auth.renewal import Obtained, Renewal
from proxy.core.failure import CredentialError
from proxy.core.ports import Chance, Clock, Secret
from proxy.core.value import dataclass

EXTRA = "leeward[aws]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)

    def secrets(self) -> Iterator[str]:
        yield self.secret_access_key
        if self.session_token:
            yield self.session_token


class Source(Protocol):
    """Where credentials come from."""

    def describe(self) -> str: ...

    def client(self) -> tuple[str, ...]:
        """What tells this identity from others. Raises CredentialError."""

    async def current(self) -> Credentials:
        """Raises CredentialError."""

    async def after(self, refused: str) -> Credentials | None:
        """Others than those of this access key, which were refused; None where there are none."""

    def expires(self) -> float | None: ...

    async def close(self) -> None: ...


class Written:
    """Credentials in the configuration."""

    __slots__ = ("_access_key_id", "_secret_access_key", "_session_token")

    def __init__(
        self, access_key_id: Secret, secret_access_key: Secret, session_token: Secret | None
    ) -> None:
        self._access_key_id = access_key_id
        self._secret_access_key = secret_access_key
        self._session_token = session_token

    def describe(self) -> str:
        return f"key from {self._access_key_id.describe()}"

    def client(self) -> tuple[str, ...]:
        return (revealed(self._access_key_id),)

    def now(self) -> Credentials:
        """Raises CredentialError."""
        token = self._session_token
        return Credentials(
            access_key_id=revealed(self._access_key_id),
            secret_access_key=revealed(self._secret_access_key),
            session_token=None if token is None else revealed(token),
        )

    async def current(self) -> Credentials:
        return self.now()

    async def after(self, refused: str) -> Credentials | None:
        """The file may have changed while a request was under way."""
        now = self.now()
        return None if now.access_key_id == refused else now

    def expires(self) -> float | None:
        return None

    async def close(self) -> None:
        """Nothing runs here."""


class Chain:
    """Credentials that botocore finds; `profile` "" = its default."""

    __slots__ = ("_clock", "_found", "_profile", "_renewal", "_whose")

    def __init__(self, profile: str, clock: Clock, chance: Chance) -> None:
        self._profile = profile
        self._whose = _whose(profile)
        self._clock = clock
        self._found: Any = None  # botocore's Credentials, which renew themselves when asked
        self._renewal: Renewal[Credentials] = Renewal(self._obtain, clock, chance)

    def describe(self) -> str:
        return f"AWS profile {self._profile}" if self._profile else "AWS's chain of providers"

    def client(self) -> tuple[str, ...]:
        return "chain", self._profile, *self._whose

    async def current(self) -> Credentials:
        return await self._renewal.current()

    async def after(self, refused: str) -> Credentials | None:
        now = await self._renewal.current()
        if now.access_key_id != refused:
            return now
        self._found = None  # the shared file, or the role, may be another by now
        return await self._renewal.after(now)

    def expires(self) -> float | None:
        return self._renewal.expires()

    async def close(self) -> None:
        await self._renewal.close()

    async def _obtain(self, last: Credentials | None) -> Obtained[Credentials]:  # noqa: ARG002 - Renewal's
        return await asyncio.to_thread(self._look)

    def _look(self) -> Obtained[Credentials]:
        try:
            from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - costs every start a third of a second
            from botocore.session import Session  # noqa: PLC0415 - as above
        except ImportError:
            raise CredentialError(
                f"AWS's chain of providers needs botocore: pip install '{EXTRA}'."
            ) from None
        try:
            if self._found is None:
                self._found = Session(profile=self._profile or None).get_credentials()
            found = self._found
            if found is None:
                raise CredentialError(f"{self.describe()} holds no credentials.")
            frozen = found.get_frozen_credentials()
        except BotoCoreError as error:
            # Not its words: they may quote a file or an answer.
            self._found = None
            raise CredentialError(f"{self.describe()} failed: {type(error).__name__}.") from None
        return Obtained(
            value=Credentials(
                access_key_id=frozen.access_key,
                secret_access_key=frozen.secret_key,
                session_token=frozen.token or None,
            ),
            lifetime=self._life(found),
        )

    def _life(self, found: Any) -> float | None:
        end = getattr(found, "_expiry_time", None)  # the library has no public word for it
        if not isinstance(end, datetime):
            return None
        return max(1.0, end.timestamp() - self._clock.wall())


def _whose(profile: str) -> tuple[str, ...]:
    """What is known of the chain's outcome before it is asked, so that two machines' are not taken for one.

    The access key or the role where the environment names it; else the account on this machine.
    """
    named = (
        () if profile else tuple(os.environ.get(name, "") for name in ("AWS_ACCESS_KEY_ID", "AWS_ROLE_ARN"))
    )
    return named if any(named) else (socket.gethostname(), str(os.getuid()))
