"""What is said of a figure, whoever is to read it? Nothing here knows Prometheus's library."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from proxy.core.value import dataclass

# Seconds. A hit takes fractions of a millisecond, a model's answer most of a minute.
BUCKETS = (0.0005, 0.002, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0)

OTHER = "other"
_MOST_BUCKETS = 4  # of quotas, a route


class Times:
    """One histogram's counts; seconds."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.total = 0.0

    def add(self, *seconds: float) -> None:
        """One or more."""
        self.total += sum(seconds)
        # Of hits hardly one takes longer than the first bucket has room for.
        if max(seconds) <= BUCKETS[0]:
            self.counts[0] += len(seconds)
        else:
            for one in seconds:
                self.counts[bisect_left(BUCKETS, one)] += 1

    def cumulated(self) -> list[tuple[str, float]]:
        rows, seen = [], 0
        for bound, count in zip((*map(str, BUCKETS), "+Inf"), self.counts, strict=True):
            seen += count
            rows.append((bound, float(seen)))
        return rows


Labels = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Family:
    """Figures of one name, each with its labels. `rows` can be gone through once."""

    kind: Literal["counter", "gauge"]
    name: str
    text: str
    labels: Labels
    rows: Iterable[tuple[Labels, float]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Histogram:
    """As a family, of times."""

    name: str
    text: str
    labels: Labels
    rows: Iterable[tuple[Labels, Times]]


def counter(name: str, text: str, labels: Labels, rows: Iterable[tuple[Labels, float]]) -> Family:
    return Family(kind="counter", name=name, text=text, labels=labels, rows=rows)


def gauge(name: str, text: str, labels: Labels, rows: Iterable[tuple[Labels, float]]) -> Family:
    return Family(kind="gauge", name=name, text=text, labels=labels, rows=rows)


def histogram(name: str, text: str, labels: Labels, rows: Iterable[tuple[Labels, Times]]) -> Histogram:
    return Histogram(name=name, text=text, labels=labels, rows=rows)


def folded(quotas: Mapping[tuple[str, str], float]) -> Iterator[tuple[tuple[str, str], float]]:
    """A few buckets of each upstream by name, of all others the one with least."""
    seen: Counter[str] = Counter()
    others: dict[str, float] = {}
    for (upstream, bucket), remaining in quotas.items():
        if seen[upstream] < _MOST_BUCKETS:
            seen[upstream] += 1
            yield (upstream, bucket), remaining
        else:
            others[upstream] = min(others.get(upstream, remaining), remaining)
    for upstream, remaining in others.items():
        yield (upstream, OTHER), remaining
