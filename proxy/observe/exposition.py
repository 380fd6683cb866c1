"""How do figures become what Prometheus reads?

Its library is needed when somebody looks, not while things are counted: it is loaded after the start.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from proxy.observe.families import Family, Histogram

_PROCESS = ProcessCollector(registry=None)


def metric(family: Family | Histogram) -> Metric:
    """The library's own value for it."""
    if isinstance(family, Histogram):
        timed = HistogramMetricFamily(family.name, family.text, labels=family.labels)
        for values, times in family.rows:
            timed.add_metric(values, times.cumulated(), times.total)
        return timed
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    made = kind(family.name, family.text, labels=family.labels)
    for values, value in family.rows:
        made.add_metric(values, value)
    return made


def process() -> Iterable[Metric]:
    """The process's own figures, as the system counts them; reads files."""
    return _PROCESS.collect()


class _Shown:
    """What an encoder asks."""

    def __init__(self, families: Iterable[Family | Histogram]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from map(metric, self._families)
        yield from process()


def page(families: Iterable[Family | Histogram], accept: str) -> tuple[bytes, str]:
    """The page and its Content-Type: OpenMetrics where Accept asks for it, else Prometheus text."""
    encode, content_type = choose_encoder(accept)
    return encode(_Shown(families)), content_type
