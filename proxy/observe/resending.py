"""What is counted of sending again: how long was waited, what is kept for it, and what is not?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from proxy.core.exchange import Attempt, Exchange
from proxy.observe.families import Family, counter, gauge


class Resending:
    """A part of the metrics."""

    def __init__(self) -> None:
        self._waits: dict[str, float] = {}
        self._unkept: Counter[tuple[str]] = Counter()
        self._held: Callable[[], Mapping[str, int]] = dict

    def attempted(self, upstream: str, attempt: Attempt) -> None:
        if attempt.wait is not None:
            self._waits[upstream] = self._waits.get(upstream, 0.0) + attempt.wait

    def closed(self, exchange: Exchange) -> None:
        if exchange.unkept is not None:
            self._unkept[exchange.unkept.value,] += 1

    def watch(self, held: Callable[[], Mapping[str, int]]) -> None:
        """`held` answers the bytes of request bodies that are kept to be sent again, by place."""
        self._held = held

    def collect(self) -> Iterator[Family]:
        yield counter(
            "leeward_retry_wait_seconds",
            "Time that was waited between two attempts.",
            ("upstream",),
            (((name,), seconds) for name, seconds in self._waits.items()),
        )
        yield counter(
            "leeward_bodies_not_kept",
            "Request bodies that could not have been sent again, by why.",
            ("reason",),
            self._unkept.items(),
        )
        yield gauge(
            "leeward_kept_body_bytes",
            "Bytes of request bodies that are kept to be sent again.",
            ("place",),
            (((place,), held) for place, held in self._held().items()),
        )
