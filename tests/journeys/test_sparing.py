"""Is a rough upstream spared, and are its callers told what they need to know?"""

from __future__ import annotations

import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

import pytest

from tests.origin import Gate

LIMITED = [("Retry-After", "1")]


@pytest.fixture
def start(leeward, origin):
    """A process of the test's own: what it learned of the upstream is its state."""

    def started(**upstream):
        upstream = {"base_url": origin.url, "prefix": "/", "cache": {"enabled": False}, **upstream}
        return leeward({"upstreams": {"api": upstream}}, fresh=True)

    return started


def test_after_a_429_nobody_asks_until_its_time_is_over(start, origin):
    proxy = start(retry={"attempts": 2})
    origin.on("/x").reply(429, headers=LIMITED).reply(200, b"ok")
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(proxy.get, "/x")
        (hit,) = origin.wait_for("/x")
        time.sleep(0.2)
        others = [pool.submit(proxy.get, "/y") for _ in range(6)]
        assert [future.result().status for future in [first, *others]] == [200] * 7
    later = [h.at - hit.at for h in origin.hits()[1:]]
    assert len(later) == 7
    assert min(later) >= 0.95


def test_who_cannot_wait_is_told_for_how_long(start, origin):
    proxy = start(timeout={"total": "5s"})
    origin.on("/x").reply(429, headers=[("Retry-After", "20")])
    assert proxy.get("/x").status == 429
    began = time.monotonic()
    answer = proxy.get("/y")
    assert time.monotonic() - began < 2
    document = answer.json()
    assert (answer.status, document["code"], document["retryable"]) == (429, "rate_limited", True)
    assert document["retry_after"] in (19, 20)
    assert answer.header("Retry-After") == str(document["retry_after"])
    assert document["upstream"]["status"] is None
    assert origin.count() == 1


def test_the_stale_answer_is_served_meanwhile(start, origin):
    proxy = start(cache={"enabled": True}, timeout={"total": "30s"})
    origin.on("/x").reply(200, b"old", headers=[("Cache-Control", "max-age=1")])
    origin.on("/limited").reply(429, headers=[("Retry-After", "40")])
    assert proxy.get("/x").body == b"old"
    assert proxy.get("/limited").status == 429
    time.sleep(1.1)
    answer = proxy.get("/x")
    assert (answer.status, answer.body) == (200, b"old")
    assert "hold-off" in answer.header("Cache-Status")
    assert origin.count("/x") == 1


def test_the_stale_answer_is_served_while_the_circuit_is_open(start, origin):
    proxy = start(
        cache={"enabled": True},
        circuit_breaker={"min_requests": 4, "open_for": "30s"},
        retry={"attempts": 1},
    )
    origin.on("/x").reply(200, b"old", headers=[("Cache-Control", "max-age=1")])
    origin.on("/broken").reply(500)
    assert proxy.get("/x").body == b"old"
    assert [proxy.get("/broken").status for _ in range(3)] == [500] * 3
    time.sleep(1.1)
    answer = proxy.get("/x")
    assert (answer.status, answer.body) == (200, b"old")
    assert "origin-gone" in answer.header("Cache-Status")
    assert proxy.get("/other").json()["code"] == "circuit_open"
    assert (origin.count("/x"), origin.count()) == (1, 4)


def test_a_circuit_opens_refuses_and_closes_again(start, origin):
    breaker = {"failure_ratio": 0.5, "min_requests": 4, "window": "30s", "open_for": "1s"}
    proxy = start(circuit_breaker=breaker, retry={"attempts": 1})
    origin.on("/x").reply(500)
    assert [proxy.get("/x").status for _ in range(4)] == [500] * 4
    answer = proxy.get("/x")
    document = answer.json()
    assert (answer.status, document["code"], document["retry_after"]) == (503, "circuit_open", 1)
    assert "leeward" in answer.header("Proxy-Status")
    assert proxy.metric("leeward_circuit_state", upstream="api") == 2
    assert origin.count("/x") == 4
    time.sleep(1.1)
    origin.on("/y").reply(200)
    assert proxy.get("/y").status == 200
    assert proxy.metric("leeward_circuit_state", upstream="api") == 0


def test_a_full_queue_refuses(start, origin):
    proxy = start(concurrency={"max": 1, "max_queue": 1})
    gate = Gate()
    origin.on("/x").raw(gate, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(proxy.get, "/x")
        origin.wait_for("/x")
        second = pool.submit(proxy.get, "/y", ("X-Request-Timeout", "15"))
        # It may come before the second: then that one is refused.
        third = pool.submit(proxy.get, "/z", ("X-Request-Timeout", "15"))
        refused = next(iter(wait([second, third], return_when=FIRST_COMPLETED).done)).result()
        assert (refused.status, refused.json()["code"]) == (503, "overloaded")
        gate.open()
        assert sorted(one.result().status for one in (first, second, third)) == [200, 200, 503]


def test_our_own_limit(start, origin):
    proxy = start(rate_limit={"requests": 2, "per": "1m", "burst": 2, "max_wait": "1s"})
    assert [proxy.get("/x").status for _ in range(3)] == [200, 200, 429]
    document = proxy.get("/x").json()
    assert document["code"] == "rate_limited"
    assert 25 <= document["retry_after"] <= 30
    assert origin.count() == 2


def test_a_callers_own_deadline_shortens_the_total(start, origin):
    proxy = start()
    gate = Gate()
    origin.on("/x").raw(gate)
    began = time.monotonic()
    answer = proxy.get("/x", ("X-Request-Timeout", "0.5"))
    assert (answer.status, answer.json()["code"]) == (504, "deadline_exceeded")
    assert time.monotonic() - began < 3
    gate.open()


def test_used_up_attempts_tell_an_sdk_not_to_multiply(start, origin):
    proxy = start()
    origin.on("/x").reply(500)
    answer = proxy.get("/x")
    assert (answer.status, answer.header("X-Should-Retry")) == (500, "false")
    assert origin.count("/x") == 3


def test_what_held_a_request_back_is_shown(start, origin):
    proxy = start(retry={"attempts": 1})
    origin.on("/x").reply(429, headers=LIMITED)
    assert proxy.get("/x").status == 429
    assert proxy.get("/y").status == 200
    row = proxy.admin_json("/api/v1/requests?limit=1")["requests"][0]
    assert [one["reason"] for one in row["held"]] == ["hold-off"]
    assert 500 < row["held"][0]["ms"] < 1500
    assert 0.5 < proxy.metric("leeward_held_seconds_total", upstream="api", reason="hold-off") < 1.5


def test_a_storm_on_a_dead_upstream_is_cut_to_probes(start, origin):
    proxy = start(
        circuit_breaker={"min_requests": 20, "open_for": "30s"}, retry={"attempts": 3, "budget": {}}
    )
    origin.on("*").reply(500)
    for _ in range(25):
        assert {answer.status for answer in proxy.many(8, "/x")} <= {500, 503}
    assert origin.count() <= 20 + 8 + 6
