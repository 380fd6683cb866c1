"""Are the contract's metrics there after traffic, under its names, with its labels?"""

from __future__ import annotations

import pytest

from tests.origin import Gate, closed_port
from tests.wire import request

FRESH = [("Cache-Control", "max-age=60")]
LABELS = {
    "leeward_requests_total": {"upstream", "method", "code", "cache"},
    "leeward_request_duration_seconds_count": {"upstream", "cache"},
    "leeward_request_duration_seconds_bucket": {"upstream", "cache", "le"},
    "leeward_upstream_attempts_total": {"upstream", "outcome"},
    "leeward_upstream_duration_seconds_count": {"upstream"},
    "leeward_retries_total": {"upstream", "reason"},
    "leeward_errors_total": {"upstream", "code"},
    "leeward_cache_hits_total": {"upstream"},
    "leeward_cache_misses_total": {"upstream"},
    "leeward_cache_entries": {"store"},
    "leeward_cache_bytes": {"store"},
    "leeward_inflight_requests": {"upstream"},
}


@pytest.fixture
def proxy(leeward, origin):
    return leeward(
        {
            "upstreams": {
                "api": {"base_url": origin.url},
                "dead": {"base_url": f"http://127.0.0.1:{closed_port()}", "retry": {"attempts": 1}},
                "slow": {"base_url": origin.url, "retry": {"attempts": 1}, "timeout": {"attempt": "200ms"}},
            }
        },
        fresh=True,
    )


def test_after_traffic(proxy, origin):
    origin.on("/hit").reply(200, b"x" * 1000, FRESH)
    origin.on("/flaky").reply(503).reply(503).reply(200)
    origin.on("/drop").drop()
    origin.on("/stall").never()
    for path in ("/api/hit", "/api/hit", "/api/hit", "/api/flaky", "/api/drop", "/dead/x", "/slow/stall"):
        proxy.get(path)
    proxy.post("/api/post")
    for odd in ("BREW", "FOO1", "M-SEARCH"):
        proxy.ask(odd, "/api/odd")
    samples = proxy.metrics()
    for name, labels in LABELS.items():
        assert name in samples, name
        assert {frozenset(found) for found, _ in samples[name]} == {frozenset(labels)}, name
    assert "leeward_build_info" in samples
    metric = proxy.metric
    assert metric("leeward_requests_total", upstream="api", method="GET", code="200", cache="hit") == 2
    assert metric("leeward_requests_total", upstream="api", method="GET", code="200", cache="miss") == 2
    assert metric("leeward_requests_total", upstream="api", method="POST", code="200", cache="bypass") == 1
    assert metric("leeward_requests_total", upstream="dead", code="502") == 1
    assert metric("leeward_request_duration_seconds_count", upstream="api", cache="hit") == 2
    assert metric("leeward_upstream_attempts_total", upstream="api", outcome="5xx") == 2
    assert metric("leeward_upstream_attempts_total", upstream="api", outcome="protocol") == 3
    assert metric("leeward_upstream_attempts_total", upstream="dead", outcome="connect") == 1
    assert metric("leeward_upstream_attempts_total", upstream="slow", outcome="timeout") == 1
    assert metric("leeward_retries_total", upstream="api") == 4
    assert metric("leeward_errors_total", upstream="api", code="bad_upstream_response") == 1
    assert metric("leeward_errors_total", upstream="dead", code="connect_failed") == 1
    assert metric("leeward_errors_total", upstream="slow", code="upstream_timeout") == 1
    assert metric("leeward_cache_hits_total", upstream="api") == 2
    assert metric("leeward_cache_entries") == 1
    assert 1000 < metric("leeward_cache_bytes") < 10_000
    assert metric("leeward_inflight_requests") == 0
    methods = {found["method"] for found, _ in samples["leeward_requests_total"]}
    assert methods <= {"GET", "POST", "other"}


def test_labels_never_hold_a_callers_string(proxy, origin):
    for number in range(50):
        proxy.ask(f"MARK{number}", f"/api/mark{number}?mark={number}", [("X-Mark", f"mark{number}")])
        proxy.get(f"/mark{number}/nowhere")
    with proxy.send(b"MARK / MARK/1.1\r\nHost: mark\r\n\r\n") as wire:
        wire.read()
    text = proxy.admin_ask("GET", "/metrics").body.lower()
    assert b"mark" not in text
    assert len([line for line in text.splitlines() if line.startswith(b"leeward_requests_total")]) < 20


def test_what_is_under_way_is_counted(proxy, origin):
    gate = Gate()
    origin.on("/x").chunked(b"first", gate, b"second")
    with proxy.send(request("GET", "/api/x")) as wire:
        answer = wire.read_head()
        wire.read_body(answer, 5)
        assert proxy.metric("leeward_inflight_requests", upstream="api") == 1
        gate.open()
        wire.read_body(answer)


def test_open_metrics(proxy):
    answer = proxy.admin_ask("GET", "/metrics", [("Accept", "application/openmetrics-text; version=1.0.0")])
    assert (answer.header("Content-Type") or "").startswith("application/openmetrics-text")
    assert answer.body.endswith(b"# EOF\n")
    plain = proxy.admin_ask("GET", "/metrics")
    assert (plain.header("Content-Type") or "").startswith("text/plain")


def test_one_line_a_request(proxy, origin):
    origin.on("/x").reply(503).reply(200, b"hello")
    answer = proxy.get("/api/x?secret=in-the-query", ("X-Request-Id", "line-1"))
    proxy.stop()
    (line,) = [record for record in proxy.log_lines() if "line-1" in record.values()]
    values = set(map(str, line.values()))
    assert {"GET", "api", "200", "2"} <= values
    assert "in-the-query" not in proxy.stderr
    assert answer.status == 200
