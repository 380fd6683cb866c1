"""What is sent again, how often, and after how long?"""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from tests.origin import Origin, closed_port

TOLERANCE = 0.05  # seconds by which a timer may be early


def gap(origin: Origin, path: str) -> float:
    first, second = origin.hits(path)
    return second.at - first.at


@pytest.fixture
def start(leeward, origin):
    """A process of the test's own: nothing remembered of earlier 429s, no pooled connection."""

    def started(**upstream):
        upstream = {"base_url": origin.url, "prefix": "/", "cache": {"enabled": False}, **upstream}
        return leeward({"upstreams": {"api": upstream}}, fresh=True)

    return started


def test_503_twice_then_200_is_one_200(proxy, origin):
    origin.on("/x").reply(503, b"x" * 300_000).reply(503).reply(200, b"at last")
    answer = proxy.get("/x")
    assert (answer.status, answer.body) == (200, b"at last")
    assert answer.headers("Leeward-Attempts") == ["3"]
    assert origin.count("/x") == 3


def test_one_attempt_is_not_counted_out_loud(proxy, origin):
    assert proxy.get("/x").header("Leeward-Attempts") is None


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
def test_idempotent_methods_are_repeated(proxy, origin, method, status):
    origin.on("/x").reply(status).reply(200)
    body = b"the body" if method == "PUT" else None
    assert proxy.ask(method, "/x", body=body).status == 200
    assert [(h.method, h.body) for h in origin.hits("/x")] == [(method, body or b"")] * 2


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
@pytest.mark.parametrize("method", ["POST", "PATCH", "PROPPATCH"])
def test_other_methods_are_not(proxy, origin, method, status):
    origin.on("/x").reply(status)
    assert proxy.ask(method, "/x", body=b"{}").status == (504 if status == 408 else status)
    assert origin.count("/x") == 1


@pytest.mark.parametrize("status", [400, 401, 404, 409, 422, 501, 505])
def test_other_statuses_are_not(proxy, origin, status):
    origin.on("/x").reply(status)
    assert proxy.get("/x").status == status
    assert origin.count("/x") == 1


def test_post_429_with_retry_after_then_200(start, origin):
    origin.on("/x").reply(429, b"slow down", [("Retry-After", "1")]).reply(200, b"ok")
    answer = start().post("/x", b'{"a": 1}')
    assert (answer.status, answer.body) == (200, b"ok")
    assert [h.body for h in origin.hits("/x")] == [b'{"a": 1}'] * 2
    assert gap(origin, "/x") >= 1 - TOLERANCE


def test_post_503_with_retry_after_then_200(start, origin):
    origin.on("/x").reply(503, headers=[("Retry-After", "0")]).reply(200)
    assert start().post("/x").status == 200
    assert origin.count("/x") == 2


def test_retry_after_in_seconds(start, origin):
    origin.on("/x").reply(503, headers=[("Retry-After", "1")]).reply(200)
    assert start().get("/x").status == 200
    assert gap(origin, "/x") >= 1 - TOLERANCE


def test_retry_after_as_date(start, origin):
    proxy = start()
    due = int(time.time()) + 2
    origin.on("/x").reply(503, headers=[("Retry-After", formatdate(due, usegmt=True))]).reply(200)
    assert proxy.get("/x").status == 200
    wall = time.time() - time.monotonic()
    assert origin.hits("/x")[1].at + wall >= due - TOLERANCE


def test_retry_after_ms(start, origin):
    origin.on("/x").reply(503, headers=[("retry-after-ms", "400")]).reply(200)
    assert start().get("/x").status == 200
    assert gap(origin, "/x") >= 0.4 - TOLERANCE


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_long_retry_after_ends_at_once(start, origin, status, method):
    origin.on("/x").reply(status, b'{"message": "later"}', [("Retry-After", "120")])
    answer = start(retry={"max_retry_after": "5s"}).ask(
        method, "/x", body=b"{}" if method == "POST" else None
    )
    assert answer.status == status
    assert answer.headers("Retry-After") == ["120"]
    assert answer.problem["retry_after"] == 120
    assert answer.problem["detail"] == "later"
    assert origin.count("/x") == 1


@pytest.mark.parametrize("nonsense", ["soon", "-5", "", "1e9", "9" * 400, "Thu, 99 Foo 2020 00:00:00 GMT"])
def test_a_senseless_retry_after_is_ignored_or_ends_the_attempts(start, origin, nonsense):
    origin.on("/x").reply(503, headers=[("Retry-After", nonsense)]).reply(200)
    assert start().get("/x").status in (200, 503)
    assert origin.count("/x") <= 2


@pytest.mark.parametrize("header", ["x-should-retry", "Stripe-Should-Retry"])
def test_the_upstream_may_forbid(proxy, origin, header):
    origin.on("/x").reply(503, headers=[(header, "false")]).reply(200)
    assert proxy.get("/x").status == 503
    assert origin.count("/x") == 1


@pytest.mark.parametrize("attempts", [1, 2, 4])
def test_a_dropped_get_hits_exactly_attempts_times(start, origin, attempts):
    origin.on("/x").drop()
    answer = start(retry={"attempts": attempts}).get("/x")
    assert (answer.status, answer.code) == (502, "bad_upstream_response")
    assert answer.problem["attempts"] == attempts
    assert answer.header("Proxy-Status") is not None
    assert origin.count("/x") == attempts


def test_a_reset_get_hits_exactly_attempts_times(start, origin):
    origin.on("/x").reset()
    assert start(retry={"attempts": 3}).get("/x").code == "bad_upstream_response"
    assert origin.count("/x") == 3


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_dropped_post_is_sent_once(start, origin, method):
    origin.on("/x").drop()
    proxy = start()
    assert proxy.ask(method, "/x", body=b"{}").code == "bad_upstream_response"
    assert origin.count("/x") == 1


def test_a_get_on_a_pooled_connection_that_drops_is_sent_again_for_free(start, origin):
    proxy = start(retry={"attempts": 1})
    assert proxy.get("/warm").status == 200
    origin.on("/x").drop().reply(200, b"ok")
    answer = proxy.get("/x")
    assert (answer.status, answer.body) == (200, b"ok")
    first, second = origin.hits("/x")
    assert first.connection != second.connection


def test_free_only_once(start, origin):
    proxy = start(retry={"attempts": 2})
    assert proxy.get("/warm").status == 200
    origin.on("/x").drop()
    assert proxy.get("/x").code == "bad_upstream_response"
    assert origin.count("/x") == 3


def test_a_post_on_a_pooled_connection_that_drops_is_not(start, origin):
    proxy = start()
    assert proxy.get("/warm").status == 200
    origin.on("/x").drop().reply(200)
    assert proxy.post("/x").code == "bad_upstream_response"
    assert origin.count("/x") == 1


def test_a_connection_closed_while_idle_harms_nobody(start, origin):
    origin.on("/x").reply(200, b"first", then="close").reply(200, b"second")
    proxy = start(retry={"attempts": 1})
    assert proxy.get("/x").body == b"first"
    assert proxy.post("/x").body == b"second"


def test_nothing_sent_is_repeated_for_any_method(start, origin):
    proxy = start(retry={"attempts": 3})

    dead = start(base_url=f"http://127.0.0.1:{closed_port()}", retry={"attempts": 3})
    answer = dead.post("/x")
    assert (answer.status, answer.code, answer.problem["attempts"]) == (502, "connect_failed", 3)
    assert proxy.post("/x").status == 200


def test_endless_failure_ends(proxy, origin):
    origin.on("/x").reply(503, b'{"error": "down"}')
    answer = proxy.get("/x")
    assert (answer.status, answer.code, answer.problem["attempts"]) == (503, "unavailable", 3)
    assert answer.header("Leeward-Attempts") == "3"
    assert origin.count("/x") == 3


def test_a_body_too_large_to_keep_is_sent_once(proxy, origin):
    origin.on("/x").reply(503)
    body = b"z" * (2 * 1024 * 1024)
    assert proxy.ask("PUT", "/x", body=body).status == 503
    assert origin.hit("/x").size == len(body)


def test_a_chunked_body_is_repeated_whole(proxy, origin):
    origin.on("/x").reply(503).reply(503).reply(200)
    head = b"PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    with proxy.send(head, b"3\r\nabc\r\n", b"4\r\ndefg\r\n", b"0\r\n\r\n") as wire:
        assert wire.read().status == 200
    assert [h.body for h in origin.hits("/x")] == [b"abcdefg"] * 3


def test_silence_ends_each_attempt(start, origin):
    origin.on("/x").never()
    answer = start(timeout={"attempt": "300ms"}, retry={"attempts": 2}).get("/x")
    assert (answer.status, answer.code, answer.problem["attempts"]) == (504, "upstream_timeout", 2)
    assert origin.count("/x") == 2
    assert all(h.gone.wait(2) for h in origin.hits("/x"))


def test_the_whole_has_a_deadline(start, origin):
    origin.on("/x").never()
    answer = start(timeout={"total": "1s"}).get("/x")
    assert (answer.status, answer.code) == (504, "deadline_exceeded")
    assert origin.hit("/x").gone.wait(2)


def test_retries_cannot_become_a_storm(start, origin):
    origin.on("/x").reply(503)
    proxy = start(retry={"attempts": 5, "budget": {"ratio": 0.2, "min_per_second": 2}})
    calls = 200
    for _ in range(calls // 20):
        proxy.many(20, "/x")
    assert calls < origin.count("/x") <= 1.25 * calls
