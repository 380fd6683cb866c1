"""How is the log kept from drowning in one sentence?

The law: of equal warnings the first few in an interval are written, then none; the first of the next
interval says how many were left out. Times are arguments' business: `now` is any clock in seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from proxy.core.value import dataclass

_MOST_KINDS = 512


@dataclass(slots=True)
class _Kind:
    since: float
    written: int = 0
    left_out: int = 0


class Sampling:
    """At most `most` of a kind in `per` seconds."""

    def __init__(self, now: Callable[[], float], *, most: int = 10, per: float = 60.0) -> None:
        self._now = now
        self._most = most
        self._per = per
        self._kinds: dict[Hashable, _Kind] = {}

    def admit(self, kind: Hashable) -> int | None:
        """None = leave it out; else write it, saying that so many equal ones were left out before."""
        now = self._now()
        known = self._kinds.get(kind)
        if known is None or now - known.since >= self._per:
            before = known.left_out if known is not None else 0
            if known is None and len(self._kinds) >= _MOST_KINDS:
                # The oldest is forgotten: the table must not grow with what strangers provoke.
                del self._kinds[next(iter(self._kinds))]
            self._kinds.pop(kind, None)
            self._kinds[kind] = _Kind(since=now, written=1)
            return before
        if known.written < self._most:
            known.written += 1
            return 0
        known.left_out += 1
        return None
