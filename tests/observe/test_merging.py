import asyncio
import itertools
import json

from prometheus_client.parser import text_string_to_metric_families

from proxy.core.exchange import Attempt, Exchange, Verdict
from proxy.observe.merging import Ledger, figures
from proxy.observe.metrics import Metrics


def exchange(verdict: Verdict = Verdict.HIT, seconds: float = 0.1) -> Exchange:
    made = Exchange(id="x", method="GET", target="/", started=0, at=0)
    made.route, made.status, made.verdict, made.seconds = "api", 200, verdict, seconds
    return made


def process(hits: int, misses: int = 0, entries: int = 0) -> Metrics:
    metrics = Metrics("1", ["api"])
    for verdict, count in ((Verdict.HIT, hits), (Verdict.MISS, misses)):
        for _ in range(count):
            one = exchange(verdict)
            metrics.opened(one)
            if verdict is Verdict.MISS:
                attempt = Attempt(started=0.0)
                attempt.outcome = "2xx"
                metrics.attempted(one, attempt)
            metrics.closed(one)
    metrics.watch_store("memory", lambda: (entries, entries * 10))
    return metrics


def note(ledger: Ledger, number: int, metrics: Metrics) -> None:
    """As it arrives from another process."""
    ledger.note(number, json.loads(json.dumps(asyncio.run(figures(metrics)))))


def value(ledger: Ledger, name: str, **labels: str) -> float:
    page, _ = ledger.exposition("")
    return sum(
        sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def test_counters_and_histograms_are_added_up():
    ledger = Ledger()
    note(ledger, 1, process(3, 1))
    note(ledger, 2, process(4))
    assert value(ledger, "leeward_requests_total", cache="hit") == 7
    assert value(ledger, "leeward_request_duration_seconds_count", cache="hit") == 7
    assert value(ledger, "leeward_request_duration_seconds_bucket", cache="hit", le="0.1") == 7
    assert round(value(ledger, "leeward_request_duration_seconds_sum"), 3) == 0.8
    assert value(ledger, "process_cpu_seconds_total") > 0


def test_what_an_ended_process_counted_stays_once():
    ledger = Ledger()
    note(ledger, 0, process(0))
    note(ledger, 1, process(3))
    note(ledger, 2, process(4, entries=5))
    before = value(ledger, "process_cpu_seconds_total")
    ledger.bury(2)
    ledger.bury(2)
    assert value(ledger, "leeward_requests_total") == 7
    assert value(ledger, "leeward_request_duration_seconds_count") == 7
    assert value(ledger, "process_cpu_seconds_total") == before
    assert value(ledger, "leeward_cache_entries") == 0
    note(ledger, 3, process(1))
    assert value(ledger, "leeward_requests_total") == 8


def test_no_order_of_ends_makes_a_counter_less():
    told = {number: [["busy", "counter", "", [["busy_total", {}, number / 10]]]] for number in range(1, 8)}
    seen = set()
    for order in itertools.islice(itertools.permutations(told), 0, None, 97):
        ledger = Ledger()
        for number, counted in told.items():
            ledger.note(number, counted)
        for number in order[:4]:
            ledger.bury(number)
        seen.add(value(ledger, "busy_total"))
    assert seen == {2.8}


def test_gauges_of_one_store_are_not_added_up():
    ledger = Ledger()
    note(ledger, 1, process(1, entries=5))
    note(ledger, 2, process(1, entries=5))
    assert value(ledger, "leeward_cache_entries", store="memory") == 5
    assert value(ledger, "leeward_cache_bytes", store="memory") == 50
    assert value(ledger, "leeward_build_info") == 1
    assert ledger.stores() == {"memory": (5, 50)}


def test_gauges_of_each_process_are():
    ledger = Ledger()
    for number in (1, 2):
        busy = process(0)
        busy.opened(exchange())
        busy.watch_budgets(lambda: {"api": 10.0})
        note(ledger, number, busy)
    assert value(ledger, "leeward_inflight_requests", upstream="api") == 2
    assert value(ledger, "leeward_retry_budget_remaining", upstream="api") == 20


def test_totals_for_the_dashboard():
    ledger = Ledger()
    note(ledger, 1, process(3, 2))
    note(ledger, 2, process(1))
    ledger.bury(1)
    row = ledger.totals()["api"]
    assert (row.requests, row.hits, row.misses, row.attempts, row.inflight) == (6, 4, 2, 2, 0)


def test_openmetrics_where_it_is_asked_for():
    ledger = Ledger()
    note(ledger, 1, process(1))
    page, kind = ledger.exposition("application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    assert page.endswith(b"# EOF\n")
