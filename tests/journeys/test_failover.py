"""Is the next base URL asked while the one before is down?"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.origin import Gate, Origin, closed_port


@pytest.fixture
def other() -> Iterator[Origin]:
    with Origin() as second:
        yield second


@pytest.fixture
def start(leeward):
    def started(*urls, **upstream):
        upstream = {
            "base_url": list(urls),
            "prefix": "/",
            "cache": {"enabled": False},
            "circuit_breaker": {},
            **upstream,
        }
        return leeward({"upstreams": {"api": upstream}}, fresh=True)

    return started


def test_a_dead_one_costs_one_attempt_and_is_left_alone(start, origin, other):
    dead = f"http://127.0.0.1:{closed_port()}"
    proxy = start(dead, origin.url, other.url)
    answer = proxy.ask("POST", "/pay", body=b"1")
    assert (answer.status, answer.header("Leeward-Attempts")) == (200, "2")
    assert [proxy.get("/x").header("Leeward-Attempts") for _ in range(3)] == [None] * 3
    assert (origin.count(), other.count()) == (4, 0)
    row = proxy.admin_json("/api/v1/requests?limit=4")["requests"][-1]
    assert [(one["endpoint"], one["outcome"], one["wait_ms"]) for one in row["tries"]] == [
        (dead, "connect", 0.0),
        (origin.url, "2xx", None),
    ]
    assert proxy.metric("leeward_endpoint_up", upstream="api", endpoint=dead.removeprefix("http://")) == 0
    assert proxy.metric("leeward_endpoint_up", upstream="api", endpoint=origin.authority) == 1
    assert proxy.metric("leeward_circuit_state", upstream="api") == 0


def test_a_retry_goes_to_the_next(start, origin, other):
    proxy = start(origin.url, other.url)
    origin.on("/x").reply(503, headers=[("Retry-After", "20")])
    assert proxy.get("/x").status == 200
    assert (origin.count("/x"), other.count("/x")) == (1, 1)


def test_in_turn(start, origin, other):
    proxy = start(origin.url, other.url, balance="round_robin")
    assert [proxy.get("/x").status for _ in range(6)] == [200] * 6
    assert (origin.count("/x"), other.count("/x")) == (3, 3)


def test_one_that_its_check_finds_ill_is_not_asked(start, origin, other):
    origin.on("/healthz").reply(500)
    check = {"path": "/healthz", "interval": "50ms", "unhealthy_after": 2}
    proxy = start(origin.url, other.url, health_check=check, auth={"type": "bearer", "token": "s3cret"})
    hits = origin.wait_for("/healthz", 3)
    assert all(hit.header("authorization") is None for hit in hits)
    assert proxy.get("/x").status == 200
    assert (origin.count("/x"), other.count("/x")) == (0, 1)
    assert f"{origin.url} is ill" in proxy.stderr


def test_a_late_answer_is_hedged(start, origin, other):
    proxy = start(origin.url, other.url, retry={"hedge": {"min_delay": "20ms"}})
    assert {proxy.get("/quick").status for _ in range(20)} == {200}
    gate = Gate()
    origin.on("/x").raw(gate)
    answer = proxy.get("/x")
    assert (answer.status, answer.header("Leeward-Attempts")) == (200, "2")
    assert (origin.count("/x"), other.count("/x")) == (1, 1)
    assert origin.hit("/x").gone.wait(5)
    row = proxy.admin_json("/api/v1/requests?limit=1")["requests"][0]
    assert [(one["outcome"], one["reason"]) for one in row["tries"]] == [
        ("cancelled", "hedged"),
        ("2xx", None),
    ]
    assert proxy.metric("leeward_upstream_attempts_total", upstream="api", outcome="cancelled") == 1
    assert proxy.metric("leeward_retries_total", upstream="api", reason="hedged") == 1
