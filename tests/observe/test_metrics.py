from __future__ import annotations

import re
from collections import Counter

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain_metrics

from proxy.config.addresses import MOST_ENDPOINTS
from proxy.core.exchange import Attempt, Held, Verdict
from proxy.core.failure import RateLimitError
from proxy.core.reason import Reason
from proxy.observe.families import BUCKETS
from proxy.observe.metrics import CODES, METHODS, SERIES_A_ROUTE, Metrics, Totals
from tests.observe.exchanges import exchange, observed

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scraped(metrics: Metrics) -> Series:
    page, _ = metrics.exposition()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in plain_metrics(page.decode())
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return scraped(metrics).get((name, frozenset(labels.items())))


def test_a_request_is_counted_and_timed() -> None:
    metrics = Metrics("1.2.3")
    observed(metrics, exchange(status=200, verdict=Verdict.MISS, seconds=0.03, outcomes=("2xx",)))
    labels = {"upstream": "github", "method": "GET", "code": "200", "cache": "miss"}
    assert value(metrics, "leeward_requests_total", **labels) == 1
    times = {"upstream": "github", "cache": "miss"}
    assert value(metrics, "leeward_request_duration_seconds_count", **times) == 1
    assert value(metrics, "leeward_request_duration_seconds_sum", **times) == pytest.approx(0.03)
    assert value(metrics, "leeward_request_duration_seconds_bucket", le="0.025", **times) == 0
    assert value(metrics, "leeward_request_duration_seconds_bucket", le="0.05", **times) == 1
    assert value(metrics, "leeward_request_duration_seconds_bucket", le="+Inf", **times) == 1
    assert value(metrics, "leeward_upstream_attempts_total", upstream="github", outcome="2xx") == 1
    assert value(metrics, "leeward_upstream_duration_seconds_sum", upstream="github") == pytest.approx(0.2)
    assert value(metrics, "leeward_build_info", version="1.2.3") == 1


@pytest.mark.parametrize("seconds", [0.0, *BUCKETS, 61.0])
def test_a_bound_belongs_to_its_own_bucket(seconds: float) -> None:
    metrics = Metrics("1")
    metrics.answered("a", "GET", 200, Verdict.HIT, seconds)
    for bound in BUCKETS:
        counted = value(
            metrics, "leeward_request_duration_seconds_bucket", upstream="a", cache="hit", le=str(bound)
        )
        assert counted == (1 if seconds <= bound else 0)


def test_retries_are_counted_by_why_the_one_before_was_not_enough() -> None:
    metrics = Metrics("1")
    observed(metrics, exchange(outcomes=("5xx", "5xx", "2xx")))
    assert value(metrics, "leeward_retries_total", upstream="github", reason="status") == 2
    assert value(metrics, "leeward_upstream_attempts_total", upstream="github", outcome="5xx") == 2
    assert value(metrics, "leeward_upstream_attempts_total", upstream="github", outcome="2xx") == 1


def test_a_retry_without_reason_is_other() -> None:
    metrics = Metrics("1")
    made = exchange()
    made.attempts = [Attempt(started=0.0, outcome="connect"), Attempt(started=1.0, outcome="2xx")]
    metrics.attempted(made, made.attempts[-1])
    assert value(metrics, "leeward_retries_total", upstream="github", reason="other") == 1


@pytest.mark.parametrize(
    "made",
    [
        exchange(status=429, error=RateLimitError()),
        exchange(status=429, code="rate_limited"),
        exchange(status=429, code="rate_limited", error=RateLimitError()),
    ],
)
def test_a_failure_is_counted_once_by_its_code(made: object) -> None:
    metrics = Metrics("1")
    observed(metrics, made)  # type: ignore[arg-type]  # parametrize loses the type
    assert value(metrics, "leeward_errors_total", upstream="github", code="rate_limited") == 1


_COUNTS_AS = {
    Verdict.HIT: (1, 0),
    Verdict.STALE: (1, 0),
    Verdict.REVALIDATED: (1, 0),
    Verdict.COALESCED: (1, 0),
    Verdict.MISS: (0, 1),
    Verdict.BYPASS: (0, 0),
}


@pytest.mark.parametrize("verdict", list(Verdict))
def test_what_counts_as_a_hit_and_what_as_a_miss(verdict: Verdict) -> None:
    metrics = Metrics("1")
    observed(metrics, exchange(verdict=verdict))
    hits = value(metrics, "leeward_cache_hits_total", upstream="github")
    misses = value(metrics, "leeward_cache_misses_total", upstream="github")
    assert (hits, misses) == _COUNTS_AS[verdict]


def test_what_runs_now_is_counted_under_the_route_found_meanwhile() -> None:
    metrics = Metrics("1", ["github"])
    made = exchange(route="")
    metrics.opened(made)
    assert value(metrics, "leeward_inflight_requests", upstream="none") == 1
    made.route = "github"
    assert value(metrics, "leeward_inflight_requests", upstream="github") == 1
    metrics.closed(made)
    assert value(metrics, "leeward_inflight_requests", upstream="github") == 0


def test_known_upstreams_begin_with_zeros() -> None:
    metrics = Metrics("1", ["github"])
    assert value(metrics, "leeward_cache_hits_total", upstream="github") == 0
    assert value(metrics, "leeward_inflight_requests", upstream="github") == 0


def test_circuits_and_quotas_are_asked_when_somebody_looks() -> None:
    metrics = Metrics("1", ["github", "other"])
    metrics.watch_circuits(lambda: {"github": 2})
    metrics.watch_quotas(lambda: {("github", f"b{n}"): float(n) for n in range(20)})
    assert value(metrics, "leeward_circuit_state", upstream="github") == 2
    assert value(metrics, "leeward_circuit_state", upstream="other") == 0
    assert value(metrics, "leeward_upstream_quota_remaining", upstream="github", bucket="b3") == 3
    # A flood of buckets folds: the least of the others.
    assert value(metrics, "leeward_upstream_quota_remaining", upstream="github", bucket="other") == 4


def test_what_held_requests_back_is_summed() -> None:
    metrics = Metrics("1")
    for seconds in (0.5, 1.5):
        made = exchange()
        made.held = [Held(reason=Reason.HOLD_OFF, seconds=seconds)]
        observed(metrics, made)
    assert value(metrics, "leeward_held_seconds_total", upstream="github", reason="hold-off") == 2


def test_the_store_is_asked_when_somebody_looks() -> None:
    metrics = Metrics("1")
    usage = [3, 400]
    metrics.watch_store("memory", lambda: (usage[0], usage[1]))
    assert value(metrics, "leeward_cache_entries", store="memory") == 3
    usage[:] = [4, 500]
    assert value(metrics, "leeward_cache_entries", store="memory") == 4
    assert value(metrics, "leeward_cache_bytes", store="memory") == 500
    assert metrics.stores() == {"memory": (4, 500)}


def test_evictions_are_counted_by_a_bounded_list_of_reasons() -> None:
    metrics = Metrics("1")
    metrics.evicted("size")
    metrics.evicted("size", 4)
    for number in range(100):
        metrics.evicted(f"strange-{number}")
    metrics.evicted("size")
    assert value(metrics, "leeward_cache_evictions_total", reason="size") == 6
    told = [labels for name, labels in scraped(metrics) if name == "leeward_cache_evictions_total"]
    assert len(told) <= 13
    assert (value(metrics, "leeward_cache_evictions_total", reason="other") or 0) > 80


@pytest.mark.parametrize("method", ["BREW", "get", "", "\x1b[31m", "X" * 5000, 'G"ET\n', "-"])
def test_a_strange_method_is_other(method: str) -> None:
    metrics = Metrics("1")
    observed(metrics, exchange(method=method))
    labels = {"upstream": "github", "code": "200", "cache": "miss"}
    assert value(metrics, "leeward_requests_total", method="other", **labels) == 1


@pytest.mark.parametrize("status", [0, 99, 600, 999, -1])
def test_a_strange_status_is_other(status: int) -> None:
    metrics = Metrics("1")
    observed(metrics, exchange(status=status))
    labels = {"upstream": "github", "method": "GET", "cache": "miss"}
    assert value(metrics, "leeward_requests_total", code="other", **labels) == 1


def test_a_request_without_route_and_words_that_nobody_knows() -> None:
    metrics = Metrics("1")
    observed(metrics, exchange(route="", code="made-up", outcomes=("odd",)))
    assert value(metrics, "leeward_errors_total", upstream="none", code="other") == 1
    assert value(metrics, "leeward_upstream_attempts_total", upstream="none", outcome="other") == 1
    assert value(metrics, "leeward_cache_misses_total", upstream="none") == 1


def test_a_route_has_a_bounded_number_of_series_whatever_happens() -> None:
    metrics = Metrics("1", ["github"])
    codes = ("rate_limited", "not_found", "server_error", "unavailable", "conflict", "weird")
    for verdict in Verdict:
        for status in range(90, 610):
            for method in ("GET", "POST", "PUT", f"M{status}"):
                metrics.answered("github", method, status, verdict, 0.1)
                metrics.closed(exchange(verdict=verdict, status=status, code=codes[status % len(codes)]))
    for reason in Reason:
        made = exchange(outcomes=("5xx", "2xx"))
        made.attempts[0].reason = reason
        for outcome in ("1xx", "2xx", "3xx", "4xx", "5xx", "timeout", "connect", "protocol", "what"):
            made.attempts[-1].outcome = outcome
            metrics.attempted(made, made.attempts[-1])
    series = scraped(metrics)
    ours = Counter(name for name, labels in series if ("upstream", "github") in labels)
    assert sum(ours.values()) <= SERIES_A_ROUTE, ours
    counted = sum(count for (name, _), count in series.items() if name == "leeward_requests_total")
    assert counted == 6 * 520 * 4 * 2  # folded, never lost


def test_every_failure_code_together_stays_within_the_bound() -> None:
    metrics = Metrics("1", ["github"])
    for code in CODES:
        metrics.closed(exchange(code=code))
    for verdict in Verdict:
        for method in METHODS:
            for status in range(200, 600):
                metrics.answered("github", method, status, verdict, 0.1)
    for reason in Reason:
        made = exchange(outcomes=("5xx", "2xx"))
        made.attempts[0].reason = reason
        for outcome in ("1xx", "2xx", "3xx", "4xx", "5xx", "timeout", "connect", "protocol", "what"):
            made.attempts[-1].outcome = outcome
            metrics.attempted(made, made.attempts[-1])
    metrics.attempted(made, exchange(outcomes=("5xx", "2xx")).attempts[0])
    held = [Reason.HOLD_OFF, Reason.RATE_LIMIT, Reason.PACED, Reason.QUEUED]
    made = exchange()
    made.held += [Held(reason=reason, seconds=1.0) for reason in held]
    metrics.closed(made)
    metrics.watch_endpoints(lambda: {("github", str(n)): True for n in range(MOST_ENDPOINTS)})
    metrics.watch_quotas(lambda: {("github", str(n)): 1.0 for n in range(99)})
    metrics.watch_budgets(lambda: {"github": 1.0})
    metrics.watch_credentials(lambda: {"github": 1.0})
    ours = [name for name, labels in scraped(metrics) if ("upstream", "github") in labels]
    assert len(ours) <= SERIES_A_ROUTE, Counter(ours)


def test_each_endpoint_is_shown_up_or_not() -> None:
    metrics = Metrics("1", ["api"])
    metrics.watch_endpoints(lambda: {("api", "a.example"): True, ("api", "b.example:81"): False})
    assert value(metrics, "leeward_endpoint_up", upstream="api", endpoint="a.example") == 1
    assert value(metrics, "leeward_endpoint_up", upstream="api", endpoint="b.example:81") == 0


def test_what_a_credential_has_left_is_shown() -> None:
    metrics = Metrics("1", ["api"])
    assert not [name for name, _ in scraped(metrics) if name == "leeward_credential_expires_seconds"]
    metrics.watch_credentials(lambda: {"api": 12.5})
    assert value(metrics, "leeward_credential_expires_seconds", upstream="api") == 12.5


def test_no_label_holds_a_callers_string() -> None:
    metrics = Metrics("1", ["github"])
    canary = "c4nary"
    made = exchange(method=canary, target=f"/{canary}", id=canary, code=canary, outcomes=(canary, canary))
    observed(metrics, made)
    for accept in ("", "application/openmetrics-text"):
        assert canary.encode() not in metrics.exposition(accept)[0]


def test_both_formats_by_accept() -> None:
    metrics = Metrics("1", ["github"])
    observed(metrics, exchange(outcomes=("5xx", "2xx"), code="server_error"))
    page, content_type = metrics.exposition("text/plain")
    assert content_type.startswith("text/plain; version=0.0.4")
    assert "leeward_requests" in {family.name for family in plain_metrics(page.decode())}
    asked = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
    page, content_type = metrics.exposition(asked)
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert page.endswith(b"# EOF\n")
    names = {family.name for family in open_metrics(page.decode())}
    assert {"leeward_requests", "leeward_request_duration_seconds", "leeward_build_info"} <= names


def test_every_metric_of_ours_says_what_it_is() -> None:
    page, _ = Metrics("1").exposition()
    for name in re.findall(r"^# TYPE (leeward_\w+)", page.decode(), re.MULTILINE):
        assert re.search(rf"^# HELP {name} .{{10,}}", page.decode(), re.MULTILINE), name


def test_totals_for_the_dashboard() -> None:
    metrics = Metrics("1", ["idle", "github"])
    observed(metrics, exchange(verdict=Verdict.HIT))
    observed(metrics, exchange(verdict=Verdict.MISS, outcomes=("5xx", "2xx")))
    observed(metrics, exchange(verdict=Verdict.MISS, status=503, code="unavailable"))
    totals = metrics.totals()
    assert list(totals) == ["idle", "github"]
    assert totals["idle"] == Totals()
    assert totals["github"] == Totals(requests=3, hits=1, misses=2, attempts=2, retries=1, errors=1)


def test_a_repeated_hit_counts_like_the_first() -> None:
    once, often = Metrics("1"), Metrics("1")
    hits = [exchange(verdict=Verdict.HIT, seconds=seconds) for seconds in (2**-12, 2**-10, 1.0)]
    for metrics in (once, often):
        observed(metrics, hits[0])
    for hit in hits * 3:
        observed(once, hit)
    often.repeated([(hit, b"id%d" % n, 0.0, hit.seconds) for n, hit in enumerate(hits * 3)])
    ours, theirs = (
        {series: number for series, number in scraped(metrics).items() if series[0].startswith("leeward_")}
        for metrics in (once, often)
    )
    assert ours == theirs
    assert len(ours) > 0


def test_workers_that_were_replaced_are_counted():
    metrics = Metrics("1")
    assert b"leeward_worker_restarts_total 0.0" in metrics.exposition()[0]
    metrics.restarted()
    assert b"leeward_worker_restarts_total 1.0" in metrics.exposition()[0]
