"""Which keys were just found to be uncacheable?

Nobody should wait for an answer that cannot be shared, so the verdict is remembered for a while. The
memory is bounded and the oldest verdict goes first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Container

from proxy.core.reason import Reason


class Verdicts:
    """`seconds` is how long a verdict holds, `most` how many are remembered."""

    __slots__ = ("_kept", "_most", "_seconds")

    def __init__(self, *, seconds: float = 10.0, most: int = 8192) -> None:
        self._seconds = seconds
        self._most = most
        self._kept: OrderedDict[bytes, tuple[float, Reason]] = OrderedDict()

    @property
    def kept(self) -> Container[bytes]:
        """The keys of which anything is remembered, as of now; of some the verdict may be over."""
        return self._kept

    def recall(self, key: bytes, now: float) -> Reason | None:
        """Why the answers of this key cannot be stored; None where that is not known."""
        known = self._kept.get(key)
        if known is None:
            return None
        until, reason = known
        if now < until:
            return reason
        del self._kept[key]
        return None

    def remember(self, key: bytes, reason: Reason, now: float) -> None:
        self._kept[key] = (now + self._seconds, reason)
        self._kept.move_to_end(key)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def forget(self, key: bytes) -> None:
        self._kept.pop(key, None)
