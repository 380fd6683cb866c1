"""Does the same request with the same key happen once, whatever its callers and the network do?"""

from __future__ import annotations

import threading

import pytest

from tests.origin import Gate
from tests.wire import request as written

BODY = b'{"amount": 10}'


@pytest.fixture
def proxy(leeward, origin):
    return leeward(
        {
            "upstreams": {
                "api": {
                    "base_url": origin.url,
                    "prefix": "/",
                    "cache": {"enabled": False},
                    "retry": {"attempts": 2, "idempotency_key": "Idempotency-Key"},
                    "rules": [{"match": {"path": "/once/**"}, "idempotency": {"ttl": "1h"}}],
                }
            }
        }
    )


@pytest.fixture
def key(request):
    """One of the test's own: the process serves them all."""
    return ("Idempotency-Key", request.node.name)


def post(proxy, path, *fields, body=BODY):
    return proxy.post(path, body, *fields)


def test_a_key_is_made_once_for_all_attempts_and_told(proxy, origin):
    origin.on("/made").reply(500).reply(500).reply(200)
    failed = post(proxy, "/made")
    assert failed.status == 500
    keys = [hit.header("idempotency-key") for hit in origin.hits("/made")]
    assert keys == failed.headers("Leeward-Idempotency-Key") * 2
    # What the caller was told, it may go on with.
    assert post(proxy, "/made", ("Idempotency-Key", keys[0])).status == 200
    assert {hit.header("idempotency-key") for hit in origin.hits("/made")} == {keys[0]}


def test_the_second_one_is_told_what_the_first_one_was(proxy, origin, key):
    origin.on("/once/a").reply(201, b"made", [("X-Order", "7"), ("Cache-Control", "no-store")])
    answers = [post(proxy, "/once/a", key) for _ in range(2)]
    assert origin.count("/once/a") == 1
    for answer in answers:
        assert (answer.status, answer.body, answer.header("x-order")) == (201, b"made", "7")
    assert [answer.header("idempotent-replayed") for answer in answers] == [None, "true"]
    assert [answer.headers("cache-status")[-1] for answer in answers] == [
        "leeward; fwd=bypass; fwd-status=201; detail=cache-off",
        "leeward; hit; ttl=3600; detail=idempotent-replay",
    ]


def test_a_purge_does_not_make_it_happen_twice(proxy, origin, key):
    post(proxy, "/once/purged", key)
    purge = ("POST", "/api/v1/cache/purge", [("Content-Type", "application/json")], b'{"all": true}')
    assert proxy.admin_ask(*purge).status == 200
    assert post(proxy, "/once/purged", key).header("idempotent-replayed") == "true"
    assert origin.count("/once/purged") == 1


def test_where_no_rule_says_so_each_one_goes(proxy, origin, key):
    assert [post(proxy, "/each", key).header("idempotent-replayed") for _ in range(2)] == [None, None]
    assert origin.count("/each") == 2


def test_another_body_is_refused_and_typed(proxy, origin, key):
    post(proxy, "/once/b", key)
    answer = post(proxy, "/once/b", key, body=BODY + b" ")
    assert (answer.status, answer.code, answer.problem["retryable"]) == (422, "invalid_request", False)
    assert origin.count("/once/b") == 1


def test_callers_are_kept_apart(proxy, origin, key):
    for token in ("a", "b", "a"):
        post(proxy, "/once/c", key, ("Authorization", f"Bearer {token}"))
    assert origin.count("/once/c") == 2


def test_a_concurrent_twin_waits_for_the_first(proxy, origin, key):
    gate = Gate()
    origin.on("/once/d").reply(200, b"made", gate=gate).reply(500)
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(post(proxy, "/once/d", key))) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert gate.reached.wait(10)
    gate.open()
    for thread in threads:
        thread.join()
    assert [answer.body for answer in answers] == [b"made"] * 3
    assert sorted(answer.header("idempotent-replayed") or "" for answer in answers) == ["", "true", "true"]
    assert origin.count("/once/d") == 1


def test_a_failure_is_not_kept(proxy, origin, key):
    origin.on("/once/e").reply(500).reply(500).reply(200, b"made")
    assert [post(proxy, "/once/e", key).status for _ in range(3)] == [500, 200, 200]
    assert origin.count("/once/e") == 3


def test_a_caller_that_left_finds_its_answer(proxy, origin, key):
    gate = Gate()
    origin.on("/once/f").reply(200, b"made", gate=gate)
    with proxy.send(written("POST", "/once/f", [key], BODY)):
        assert gate.reached.wait(10)
    gate.open()
    answer = post(proxy, "/once/f", key)
    assert (answer.body, answer.header("idempotent-replayed")) == (b"made", "true")
    assert origin.count("/once/f") == 1


def test_what_is_kept_is_counted(proxy, key):
    post(proxy, "/once/g", key)
    assert proxy.metric("leeward_cache_entries", store="idempotency") >= 1
    assert proxy.metric("leeward_cache_bytes", store="idempotency") > 0
