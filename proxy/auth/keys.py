"""Which of several keys does a request carry, and which one after a refusal?

The law: keys take turns. One that is limited, refused or out of money rests, for as long as the upstream
says or a usual time, and a request that met with that goes out with the next key that is awake. A key whose
value has just changed has its former value tried once, since not every server knows the new one yet.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

from proxy.auth.placing import revealed
from proxy.core.failure import CredentialError
from proxy.core.message import Response
from proxy.core.ports import Changing, Clock, Fixed, Secret
from proxy.core.resilience import wait

_REFUSED = 401
_REST = 300.0  # seconds for a key that is refused or not paid for
_SHORT_REST = 30.0  # for one that is limited, where the upstream does not say for how long
_LONGEST_REST = 3600.0


class Former:
    """The value that a secret had before. Satisfies core.ports.Secret."""

    __slots__ = ("_of", "_value")

    def __init__(self, of: Secret, value: str) -> None:
        self._of = of
        self._value = value

    def __repr__(self) -> str:
        return f"Former({self.describe()})"

    def reveal(self) -> str:
        return self._value

    def describe(self) -> str:
        return f"{self._of.describe()}, before it changed"


def former(secret: Secret) -> Former | None:
    """None where the value has not changed just now."""
    value = secret.previous() if isinstance(secret, Changing) else None
    return None if value is None else Former(secret, value)


def settled(*secrets: Secret) -> bool:
    """Whether none of these can have another value."""
    return all(isinstance(secret, Fixed) and secret.fixed for secret in secrets)


class Keys:
    """One secret or several that stand for one another. Without a clock none of them rests."""

    __slots__ = ("_clock", "_next", "_rests", "_secrets", "settled")

    def __init__(self, secrets: Sequence[Secret], clock: Clock | None = None) -> None:
        self._secrets = tuple(secrets)
        self.settled = settled(*self._secrets)  # none of them can have another value
        self._clock = clock
        self._next = 0
        self._rests: dict[int, float] = {}  # by its place, until which monotonic second

    def __repr__(self) -> str:
        return f"Keys({self.describe()})"

    def __len__(self) -> int:
        return len(self._secrets)

    def describe(self) -> str:
        places = ", ".join(secret.describe() for secret in self._secrets)
        return places if len(self._secrets) == 1 else f"{places} in turn"

    def values(self, read: Callable[[Secret], str]) -> tuple[str, ...]:
        """All that can be read, in order. Raises CredentialError where none can."""
        if len(self._secrets) == 1:
            return (read(self._secrets[0]),)
        found: list[str] = []
        failure: CredentialError | None = None
        for secret in self._secrets:
            try:
                found.append(read(secret))
            except CredentialError as error:
                failure = error
        if not found and failure is not None:
            raise failure
        return tuple(found)

    def pick(self) -> Secret:
        """The next in turn that is awake; where all rest, the first to wake."""
        if len(self._secrets) == 1:
            return self._secrets[0]
        usable = [place for place in self._turn() if self._usable(place)] or list(self._turn())
        now = self._now()
        # `min` takes the first of equals, so that those awake stay in turn.
        place = min(usable, key=lambda one: max(now, self._rests.get(one, now)))
        self._next = place + 1
        return self._secrets[place]

    def another(self, used: str, answer: Response) -> Secret | None:
        """What to send instead of this value, which was answered so; None where nothing is to be changed."""
        rest = self._rest(answer)
        if rest is None:
            return None
        place = next((n for n, secret in enumerate(self._secrets) if _value(secret) == used), None)
        if place is not None and self._clock is not None and len(self._secrets) > 1:
            now = self._clock.now()
            self._rests[place] = max(self._rests.get(place, now), now + rest)
            for other in self._turn():
                if other != place and self._rests.get(other, now) <= now and self._usable(other):
                    self._next = other + 1
                    return self._secrets[other]
        if answer.status != _REFUSED:
            return None
        if place is None and len(self._secrets) == 1:
            # It changed while this one was under way.
            return self._secrets[0] if self._usable(0) else None
        found = None if place is None else former(self._secrets[place])
        return None if found is None or found.reveal() == used else found

    def _now(self) -> float:
        return 0.0 if self._clock is None else self._clock.now()

    def _turn(self) -> Iterator[int]:
        count = len(self._secrets)
        return ((self._next + step) % count for step in range(count))

    def _usable(self, place: int) -> bool:
        with contextlib.suppress(CredentialError):
            revealed(self._secrets[place])
            return True
        return False

    def _rest(self, answer: Response) -> float | None:
        """Seconds, where the answer is about the key."""
        told = None
        if self._clock is not None:
            told = wait.told(answer.headers, self._clock.wall())
        match answer.status:
            case 401 | 402:
                usual = _REST
            case 429:
                usual = _SHORT_REST
            case 403 if told is not None:  # a limit, as GitHub tells it
                usual = _SHORT_REST
            case _:
                return None
        return min(_LONGEST_REST, usual if told is None else told)


def _value(secret: Secret) -> str | None:
    with contextlib.suppress(CredentialError):
        return secret.reveal()
    return None
