"""When is a credential that expires obtained anew, and what is used meanwhile?

The law: whoever needs it, and however many, one request at a time goes out for it. It is renewed before
it expires, in the background, at a moment that differs from process to process. A provider that is down
changes nothing while the old one is valid; after that everybody is told so at once, and the provider is
asked at most once in each step of the back-off. One that the upstream refuses is renewed once, not again
and again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from proxy.core.failure import APIError, CredentialError
from proxy.core.ports import Chance, Clock
from proxy.core.value import dataclass

T = TypeVar("T")

_AHEAD_SHARE = 0.2  # of its life: so long before its end, at most, a credential is renewed
_AHEAD_MOST = 300.0  # seconds
_FORCED_APART = 30.0  # seconds between two renewals that a refusal asked for
_FIRST_BACKOFF = 1.0  # seconds; doubled with each failure
_MOST_BACKOFF = 60.0
_MOST_TOLD = 300.0  # of a provider's own Retry-After
_LAST_GRACE = 5.0  # seconds for a renewal under way when the process ends: a rotated token must not be lost


@dataclass(frozen=True, slots=True, kw_only=True)
class Obtained(Generic[T]):
    """What a provider gave, and its life in seconds; None = it did not say."""

    value: T
    lifetime: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held(Generic[T]):
    value: T
    renew: float  # monotonic second from which it is renewed in the background
    end: float  # monotonic second from which it is of no use


@dataclass(frozen=True, slots=True, kw_only=True)
class _Down:
    """Why there is none, and until which monotonic second nobody asks again."""

    detail: str
    until: float


class Renewal(Generic[T]):
    """One credential that is obtained when it is needed. `obtain` is given the value that it replaces."""

    __slots__ = ("_chance", "_clock", "_down", "_failures", "_forced", "_held", "_obtain", "_task")

    def __init__(
        self, obtain: Callable[[T | None], Awaitable[Obtained[T]]], clock: Clock, chance: Chance
    ) -> None:
        self._obtain = obtain
        self._clock = clock
        self._chance = chance
        self._held: _Held[T] | None = None
        self._down: _Down | None = None
        self._failures = 0
        self._forced: float | None = None  # when a refusal last made us ask
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return "Renewal()"

    async def current(self) -> T:
        """The value to use now. Raises CredentialError."""
        held, now = self._held, self._clock.now()
        if held is not None and now < held.end:
            if now >= held.renew and not self._resting(now):
                self._started()
            return held.value
        if self._task is None and self._resting(now):
            raise self._failure(now)
        await asyncio.shield(self._started())
        held, now = self._held, self._clock.now()
        if held is None or now >= held.end:
            raise self._failure(now)
        return held.value

    async def after(self, refused: T) -> T | None:
        """Another value than this one, which the upstream refused; None where none is to be had."""
        held, now = self._held, self._clock.now()
        if held is not None and held.value != refused and now < held.end:
            return held.value  # somebody was faster
        if self._task is None:
            if self._resting(now) or (self._forced is not None and now < self._forced + _FORCED_APART):
                return None
            self._forced = now
        await asyncio.shield(self._started())
        held = self._held
        return None if held is None or held.value == refused else held.value

    def expires(self) -> float | None:
        """Seconds until the present value is of no use; None where it has no end, or there is none."""
        held = self._held
        return None if held is None or held.end == float("inf") else held.end - self._clock.now()

    async def close(self) -> None:
        """Lets what is under way finish, for some seconds."""
        task = self._task
        if task is not None:
            await asyncio.wait({task}, timeout=_LAST_GRACE)
            task.cancel()
            await asyncio.wait({task})

    def _resting(self, now: float) -> bool:
        return self._down is not None and now < self._down.until

    def _failure(self, now: float) -> CredentialError:
        down = self._down
        if down is None:
            return CredentialError("The credential was of no use when it came.")
        return CredentialError(down.detail, retry_after=max(0.0, down.until - now))

    def _started(self) -> asyncio.Task[None]:
        if self._task is None:
            self._task = asyncio.create_task(self._renew(), name="renew a credential")
        return self._task

    async def _renew(self) -> None:
        try:
            obtained = await self._obtain(None if self._held is None else self._held.value)
        except APIError as failure:
            self._failed(failure)
        except Exception as fault:  # noqa: BLE001 - a fault of ours or a library's must not end the proxy
            self._failed(CredentialError(f"The credential could not be obtained: {type(fault).__name__}."))
        else:
            self._held = self._hold(obtained)
            self._down = None
            self._failures = 0
        finally:
            self._task = None

    def _hold(self, obtained: Obtained[T]) -> _Held[T]:
        now, life = self._clock.now(), obtained.lifetime
        renew = end = float("inf")
        if life is not None:
            end = now + life
            # Somewhere in the second half of the time that is left for it.
            renew = end - min(_AHEAD_MOST, _AHEAD_SHARE * life) * (1 - self._chance() / 2)
        return _Held(value=obtained.value, renew=renew, end=end)

    def _failed(self, failure: APIError) -> None:
        self._failures += 1
        step = min(_MOST_BACKOFF, _FIRST_BACKOFF * 2 ** min(self._failures - 1, 16))
        wait = step * (1 + self._chance() / 4)
        if failure.retry_after is not None:
            wait = max(wait, min(_MOST_TOLD, failure.retry_after))
        self._down = _Down(detail=failure.detail, until=self._clock.now() + wait)
