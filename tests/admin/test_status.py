from __future__ import annotations

import json

import pytest

from proxy.admin.status import percentile, snapshot
from proxy.core.exchange import Verdict
from proxy.observe.metrics import Metrics
from proxy.observe.recent import Recent
from proxy.observe.together import Together
from tests.observe.exchanges import exchange, observed


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([], 0.5, None),
        ([1.0], 0.5, 1.0),
        ([1.0], 0.95, 1.0),
        ([1.0, 2.0], 0.5, 1.0),
        ([1.0, 2.0, 3.0], 0.5, 2.0),
        ([float(n) for n in range(1, 101)], 0.95, 95.0),
        ([float(n) for n in range(1, 11)], 0.95, 10.0),
        ([float(n) for n in range(1, 101)], 1.0, 100.0),
    ],
)
def test_percentiles_are_by_nearest_rank(values: list[float], share: float, expected: float | None) -> None:
    assert percentile(values, share) == expected


def test_what_the_dashboard_reads() -> None:
    metrics, recent = Metrics("1", ["github", "idle"]), Recent()
    both = Together([metrics, recent])
    metrics.watch_store("memory", lambda: (3, 400))
    observed(both, exchange(verdict=Verdict.HIT, seconds=0.001))
    observed(both, exchange(verdict=Verdict.MISS, seconds=0.2, outcomes=("5xx", "2xx")))
    observed(both, exchange(verdict=Verdict.BYPASS, seconds=0.3, status=503, code="unavailable"))
    observed(both, exchange(route="", status=404, verdict=Verdict.BYPASS, code="no_route"))
    metrics.opened(exchange())
    told = snapshot(
        version="0.1.0",
        uptime=12.34567,
        ready=True,
        metrics=metrics,
        recent=recent,
        upstreams={
            "github": {"url": "https://api.github.com", "prefix": "/github", "credential": "bearer …"}
        },
        capacity={"memory": 1000},
    )
    json.dumps(told)
    assert (told["version"], told["uptime"], told["ready"]) == ("0.1.0", 12.346, True)
    assert told["caches"] == [{"store": "memory", "entries": 3, "bytes": 400, "max_bytes": 1000}]
    assert [row["name"] for row in told["upstreams"]] == ["github", "idle", "none"]
    assert told["upstreams"][0] == {
        "name": "github",
        "url": "https://api.github.com",
        "prefix": "/github",
        "credential": "bearer …",
        "requests": 3,
        "hits": 1,
        "misses": 1,
        "hit_ratio": 0.5,
        "attempts": 2,
        "retries": 1,
        "errors": 1,
        "inflight": 1,
        "p50_ms": 200.0,
        "p95_ms": 300.0,
    }
    assert told["upstreams"][1]["hit_ratio"] is None
    assert told["upstreams"][1]["p50_ms"] is None
    assert (told["totals"]["requests"], told["totals"]["errors"], told["totals"]["inflight"]) == (4, 2, 1)


def test_without_anything_it_still_tells() -> None:
    told = snapshot(version="1", uptime=0.0, ready=False, metrics=Metrics("1"), recent=Recent())
    assert (told["ready"], told["upstreams"], told["caches"]) == (False, [], [])
    assert told["totals"]["hit_ratio"] is None
