"""How is a hit repeated without walking the path again?

The law: nothing here decides. Core said that the hit lasts; what it rests on is compared before each use:
the entries that the store has, the credential that they were keyed by, and what is known of the key. Any
difference, and the request is decided about from the beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from proxy.core.caching import lasting, status
from proxy.core.caching.entry import Entry
from proxy.core.caching.key import Key
from proxy.core.caching.serving import aged, serve
from proxy.core.message import Request, Response
from proxy.core.routing import Route
from proxy.gateway.credential import Same
from proxy.gateway.verdicts import Verdicts

# What the store has for a key, said without waiting; None where it has to be asked.
Peek = Callable[[Key], Sequence[Entry] | None]


class LastingHit:
    """A core.ports.Lasting."""

    __slots__ = (
        "_credential",
        "_entries",
        "_entry",
        "_key",
        "_peek",
        "_primary",
        "_request",
        "_settled",
        "_uncacheable",
        "until",
    )

    def __init__(
        self,
        request: Request,
        route: Route,
        key: Key,
        *,
        entries: Sequence[Entry],
        entry: Entry,
        peek: Peek,
        verdicts: Verdicts,
    ) -> None:
        self._request = request
        self._key = key
        self._entries = entries
        self._entry = entry
        self._peek = peek
        self._primary = key.primary
        self._uncacheable = verdicts.kept
        self._credential = Same(route.injector)
        self._settled = self._credential.settled
        self.until = lasting.until(entry)

    def holds(self, now: float) -> bool:
        """Whether nothing that it rests on has changed; the look counts as a use of the entry."""
        peek = self._peek
        return (
            now < self.until
            and self._primary not in self._uncacheable
            and (self._settled or self._credential.holds())
            and peek(self._key) is self._entries
        )

    def values(self, now: float) -> tuple[bytes, bytes, float]:
        age = self._entry.age(now)
        ttl = self._entry.lifetime - age
        return aged(age), status.hit(ttl).encode("latin-1"), lasting.turns(age, ttl)

    def response(self, age: bytes, line: bytes) -> Response:
        # No time of day is needed: a request that lasts has no conditions.
        return serve(self._request, self._entry, line.decode("latin-1"), now=0.0, wall=0.0, age=age)
