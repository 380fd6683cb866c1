"""How do the figures of several processes become one page?

The law: a counter never goes back. What a process counted stays when it ends, as it was last heard of; a
gauge ends with its process. Counters and histograms are added up, and so are gauges, but for those of which
every process tells the same, or of which the worst counts. Counted is exactly: to add floats in another order
gives another last digit, and a counter that is less by that much is taken for one that began anew.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Any

from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric

from proxy.observe import exposition
from proxy.observe.metrics import Metrics, Totals

# [name, type, documentation, [[sample's name, labels, value], …]] for each metric, as JSON has it.
Families = list[list[Any]]
_Sample = tuple[str, tuple[tuple[str, str], ...]]
_Exact = int | Fraction

_GAUGES: dict[str, Callable[[Any, Any], Any]] = {
    "leeward_build_info": max,
    # Of one store that all share.
    "leeward_cache_entries": max,
    "leeward_cache_bytes": max,
    "leeward_circuit_state": max,
    "leeward_upstream_quota_remaining": min,
    "leeward_credential_expires_seconds": min,
    "process_start_time_seconds": min,
    "process_max_fds": min,
}
_TOTALS = {
    "leeward_requests_total": "requests",
    "leeward_cache_hits_total": "hits",
    "leeward_cache_misses_total": "misses",
    "leeward_upstream_attempts_total": "attempts",
    "leeward_retries_total": "retries",
    "leeward_errors_total": "errors",
    "leeward_inflight_requests": "inflight",
}


def families(metrics: Iterable[Metric]) -> Families:
    """What a process tells of its own."""
    return [
        [
            metric.name,
            metric.type,
            metric.documentation,
            [[s.name, s.labels, s.value] for s in metric.samples],
        ]
        for metric in metrics
    ]


async def figures(metrics: Metrics) -> Families:
    """All that the page of one process shows, the process's own figures included."""
    process = await asyncio.to_thread(lambda: families(exposition.process()))
    return families(map(exposition.metric, metrics.collect())) + process


class Ledger:
    """What all processes have told."""

    def __init__(self) -> None:
        self._told: dict[int, Families] = {}
        self._buried: dict[str, dict[_Sample, _Exact]] = {}

    def note(self, process: int, told: Families) -> None:
        """The latest figures of one that lives."""
        self._told[process] = told

    def bury(self, process: int) -> None:
        """It has ended: what it counted stays, once."""
        for name, kind, _, samples in self._told.pop(process, []):
            if kind != "gauge":
                counted = self._buried.setdefault(name, {})
                for sample, labels, value in samples:
                    key = (sample, tuple(labels.items()))
                    counted[key] = counted.get(key, 0) + _exact(value)

    def collect(self) -> Iterator[Metric]:
        """For prometheus_client's encoders."""
        merged: dict[str, Metric] = {}
        values: dict[str, dict[_Sample, float | Fraction]] = {}
        for told in self._told.values():
            for name, kind, documentation, samples in told:
                if name not in merged:
                    merged[name] = Metric(name, documentation, kind)
                    values[name] = dict(self._buried.get(name, {}))
                join = _GAUGES.get(name, _add) if kind == "gauge" else _add
                here = values[name]
                for sample, labels, told_value in samples:
                    key = (sample, tuple(labels.items()))
                    value = told_value if kind == "gauge" else _exact(told_value)
                    here[key] = join(here[key], value) if key in here else value
        for name, metric in merged.items():
            for (sample, labels), value in values[name].items():
                metric.add_sample(sample, dict(labels), float(value))
            yield metric

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """The page and its Content-Type: OpenMetrics where Accept asks for it, else Prometheus text."""
        encode, content_type = choose_encoder(accept)
        return encode(self), content_type

    def totals(self) -> dict[str, Totals]:
        """By route, for the dashboard."""
        summed: dict[str, Counter[str]] = {}
        for metric in self.collect():
            for sample in metric.samples:
                what = _TOTALS.get(sample.name)
                if what is not None:
                    summed.setdefault(sample.labels["upstream"], Counter())[what] += int(sample.value)
        return {name: Totals(**row) for name, row in summed.items()}

    def stores(self) -> Mapping[str, tuple[int, int]]:
        """(entries, bytes) by store."""
        found: dict[str, dict[str, int]] = {}
        for metric in self.collect():
            if metric.name in {"leeward_cache_entries", "leeward_cache_bytes"}:
                for sample in metric.samples:
                    found.setdefault(sample.labels["store"], {})[metric.name] = int(sample.value)
        return {
            store: (row.get("leeward_cache_entries", 0), row.get("leeward_cache_bytes", 0))
            for store, row in found.items()
        }


def _add(one: Any, other: Any) -> Any:
    return one + other


def _exact(value: float) -> _Exact:
    """Nearly all are whole numbers; of the others a fraction is what the float stands for."""
    return int(value) if float(value).is_integer() else Fraction(value)
