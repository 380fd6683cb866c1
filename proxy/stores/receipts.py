"""How are first answers kept in this process, within a number of bytes?

The oldest goes when room is needed, whether or not its time is over: memory is bounded, and whoever
repeats a request mostly does so soon.
"""

from __future__ import annotations

from collections.abc import Callable

from proxy.core.ports import Clock
from proxy.core.resilience.receipt import Receipt

# Of one answer's bookkeeping here: its place in the table, the digest, the tuple and its numbers.
_OVERHEAD = 350


class MemoryReceipts:
    """Receipts for one event loop.

    `max_bytes` bounds everything kept; `on_evict` is told of each answer that goes before its time.
    """

    __slots__ = ("_clock", "_kept", "_max_bytes", "_on_evict", "_size")

    def __init__(
        self, *, max_bytes: int, clock: Clock, on_evict: Callable[[str], None] = lambda _reason: None
    ) -> None:
        self._max_bytes = max_bytes
        self._clock = clock
        self._on_evict = on_evict
        self._kept: dict[bytes, tuple[Receipt, float]] = {}  # in the order in which they came
        self._size = 0

    async def load(self, place: bytes) -> Receipt | None:
        found = self._kept.get(place)
        if found is None:
            return None
        receipt, until = found
        if self._clock.now() >= until:
            self._drop(place)
            return None
        return receipt

    async def keep(self, place: bytes, receipt: Receipt, *, ttl: float) -> bool:
        self._drop(place)
        cost = receipt.size + _OVERHEAD
        if cost > self._max_bytes:
            return False
        now = self._clock.now()
        while self._kept and (self._size + cost > self._max_bytes or self._oldest() <= now):
            if self._oldest() > now:
                self._on_evict("idempotency")
            self._drop(next(iter(self._kept)))
        self._kept[place] = (receipt, now + ttl)
        self._size += cost
        return True

    def usage(self) -> tuple[int, int]:
        return len(self._kept), self._size

    def _oldest(self) -> float:
        """Until when the one that came first is kept."""
        return next(iter(self._kept.values()))[1]

    def _drop(self, place: bytes) -> None:
        gone = self._kept.pop(place, None)
        if gone is not None:
            self._size -= gone[0].size + _OVERHEAD
