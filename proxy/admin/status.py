"""What does the dashboard show about the proxy as a whole? Figures, ready to be drawn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from proxy.observe.metrics import Totals


class Figures(Protocol):
    """What was counted: of one process, or of several together."""

    def totals(self) -> Mapping[str, Totals]: ...

    def stores(self) -> Mapping[str, tuple[int, int]]: ...


class Timed(Protocol):
    """One answered request."""

    @property
    def upstream(self) -> str: ...

    @property
    def seconds(self) -> float: ...


class Remembered(Protocol):
    """The last requests."""

    def summaries(self) -> Iterable[Timed]: ...


def snapshot(
    *,
    version: str,
    uptime: float,
    ready: bool,
    metrics: Figures,
    recent: Remembered,
    upstreams: Mapping[str, Mapping[str, str]] | None = None,
    capacity: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """The answer of /api/v1/status. `uptime` in seconds, times in milliseconds, sizes in bytes.

    `upstreams` says of each what is worth showing (`url`, `prefix`, `credential` as described, never its
    value); `capacity` is the most bytes that each store keeps.
    """
    times = _times_by_upstream(recent.summaries())
    totals = metrics.totals()
    known = dict.fromkeys((*(upstreams or {}), *totals))
    rows = [_row(name, totals.get(name, Totals()), times.get(name, []), upstreams or {}) for name in known]
    return {
        "version": version,
        "uptime": round(uptime, 3),
        "ready": ready,
        "totals": _summed(totals.values()),
        "upstreams": rows,
        "caches": [
            {"store": name, "entries": entries, "bytes": size, "max_bytes": (capacity or {}).get(name)}
            for name, (entries, size) in metrics.stores().items()
        ],
    }


def percentile(ordered: list[float], share: float) -> float | None:
    """The nearest-rank percentile of ascending values; None of none."""
    if not ordered:
        return None
    rank = -(-len(ordered) * share // 1)  # rounded up
    return ordered[max(0, int(rank) - 1)]


def _row(
    name: str, totals: Totals, times: list[float], upstreams: Mapping[str, Mapping[str, str]]
) -> dict[str, Any]:
    return {
        "name": name,
        **upstreams.get(name, {}),
        **_figures(totals),
        "p50_ms": _milliseconds(percentile(times, 0.50)),
        "p95_ms": _milliseconds(percentile(times, 0.95)),
    }


def _figures(totals: Totals) -> dict[str, Any]:
    asked = totals.hits + totals.misses
    return {
        "requests": totals.requests,
        "hits": totals.hits,
        "misses": totals.misses,
        "hit_ratio": round(totals.hits / asked, 4) if asked else None,
        "attempts": totals.attempts,
        "retries": totals.retries,
        "errors": totals.errors,
        "inflight": totals.inflight,
    }


def _summed(rows: Iterable[Totals]) -> dict[str, Any]:
    several = list(rows)
    return _figures(
        Totals(
            requests=sum(row.requests for row in several),
            hits=sum(row.hits for row in several),
            misses=sum(row.misses for row in several),
            attempts=sum(row.attempts for row in several),
            retries=sum(row.retries for row in several),
            errors=sum(row.errors for row in several),
            inflight=sum(row.inflight for row in several),
        )
    )


def _times_by_upstream(summaries: Iterable[Timed]) -> dict[str, list[float]]:
    """Ascending durations of the remembered requests: what is true now, not since the start."""
    times: dict[str, list[float]] = {}
    for summary in summaries:
        times.setdefault(summary.upstream or "none", []).append(summary.seconds)
    for several in times.values():
        several.sort()
    return times


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
