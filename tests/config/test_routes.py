from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from proxy.config.routes import (
    CacheSettings,
    HeaderSettings,
    MatchSettings,
    RetrySettings,
    RuleSettings,
    TimeoutSettings,
    UpstreamDefaults,
    UpstreamSettings,
    UpstreamTLS,
)
from proxy.core.caching.policy import CachePolicy, KeyPolicy, Scope
from proxy.core.resilience.retry import RetryPolicy
from proxy.core.routing import ErrorMode, Match, Timeouts


def upstream(**said: Any) -> UpstreamSettings:
    return UpstreamSettings.model_validate({"base_url": "https://a.example", "prefix": "/a", **said})


def test_nothing_said_comes_to_cores_own_defaults() -> None:
    """The contract's defaults stand in core and in the models; they must not drift apart."""
    plain = upstream()
    assert plain.timeout.timeouts() == Timeouts()
    assert plain.retry.policy() == RetryPolicy()
    assert plain.cache.policy(max_entry_bytes=8 * 1024**2) == CachePolicy()
    assert plain.errors is ErrorMode.TRANSLATE
    assert MatchSettings().match() == Match()


def test_every_word_reaches_cores_value() -> None:
    assert TimeoutSettings.model_validate(
        {"connect": "1s", "attempt": "2s", "idle": "3s", "total": "4s"}
    ).timeouts() == Timeouts(connect=1, attempt=2, idle=3, total=4)
    assert RetrySettings.model_validate(
        {
            "attempts": 5,
            "backoff": {"initial": "1s", "factor": 3, "max": "9s"},
            "statuses": [418],
            "methods": ["get"],
            "max_retry_after": "7s",
            "idempotency_key": "Idempotency-Key",
            "max_replay_body": "2KiB",
            "max_spool_body": "3KiB",
        }
    ).policy() == RetryPolicy(
        attempts=5,
        initial=1,
        factor=3,
        max_wait=9,
        statuses=frozenset({418}),
        methods=frozenset({"GET"}),
        max_retry_after=7,
        idempotency_key="Idempotency-Key",
        max_replay_body=2048,
        max_spool_body=3072,
    )
    assert CacheSettings.model_validate(
        {
            "enabled": False,
            "scope": "shared",
            "default_ttl": "1s",
            "override_ttl": "2s",
            "stale_while_revalidate": "3s",
            "stale_if_error": "4s",
            "negative_ttl": {"404": "5s"},
            "methods": ["GET"],
            "store_set_cookie": True,
            "key": {"ignore_query": ["a"], "headers": ["X-B"], "ignore_body_fields": ["c"]},
        }
    ).policy(max_entry_bytes=10) == CachePolicy(
        enabled=False,
        scope=Scope.SHARED,
        default_ttl=1,
        override_ttl=2,
        stale_while_revalidate=3,
        stale_if_error=4,
        negative_ttl={404: 5},
        methods=frozenset({"GET"}),
        store_set_cookie=True,
        key=KeyPolicy(ignore_query=("a",), headers=("x-b",), ignore_body_fields=("c",)),
        max_entry_bytes=10,
    )
    headers = HeaderSettings.model_validate({"set": {"X-A": "b"}, "remove": ["Cookie"]})
    assert (headers.pairs(), headers.removed()) == ((("X-A", "b"),), frozenset({"cookie"}))


def test_the_prefix_in_cores_form() -> None:
    assert upstream(prefix="/").route_prefix() == ""
    assert upstream(prefix="/a/b").route_prefix() == "/a/b"


def test_a_rule_changes_only_what_it_says() -> None:
    whole = upstream(
        cache={"default_ttl": "1m", "key": {"headers": ["X-A"]}, "negative_ttl": {"404": "1s"}},
        retry={"attempts": 7, "backoff": {"initial": "1s"}},
        rules=[
            {
                "match": {"method": "post", "path": "/x/**"},
                "cache": {"scope": "shared", "key": {"ignore_query": ["q"]}, "negative_ttl": {"410": "2s"}},
                "retry": {"backoff": {"max": "2s"}},
                "errors": "annotate",
            }
        ],
    )
    rule = whole.rules[0]
    assert rule.match.match() == Match(method="POST", path="/x/**")
    ruled = whole.ruled(rule)
    assert ruled.rules == []
    assert ruled.cache.policy(max_entry_bytes=1) == CachePolicy(
        default_ttl=60,
        scope=Scope.SHARED,
        key=KeyPolicy(headers=("x-a",), ignore_query=("q",)),
        negative_ttl={404: 1, 410: 2},
        max_entry_bytes=1,
    )
    assert ruled.retry.policy() == RetryPolicy(attempts=7, initial=1, max_wait=2)
    assert ruled.errors is ErrorMode.ANNOTATE
    assert ruled.timeout == whole.timeout
    assert whole.cache.scope is Scope.CREDENTIAL


def test_a_rule_may_set_back_to_a_default() -> None:
    whole = upstream(cache={"override_ttl": "1h"}, retry={"attempts": 9})
    rule = RuleSettings.model_validate({"cache": {"override_ttl": None}, "retry": {"attempts": 3}})
    assert whole.ruled(rule).cache.override_ttl is None
    assert whole.ruled(rule).retry.attempts == 3


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"tls": {"cert": "a"}}, "cert and key belong together"),
        ({"timeout": {"total": "0s"}}, "0 would let nothing through"),
        ({"headers": {"set": {"X-A": "b\r\nc: d"}}}, "no line breaks"),
        ({"headers": {"set": {"X-A": " b"}}}, "without spaces around it"),
        ({"headers": {"set": {"X-A": "€"}}}, "beyond Latin-1"),
        ({"headers": {"set": {"Host": "b"}}}, "choose another header"),
        ({"headers": {"set": {"Transfer-Encoding": "b"}}}, "choose another header"),
        ({"headers": {"remove": ["X A"]}}, "is not a header's name"),
        ({"retry": {"methods": ["GET POST"]}}, "should be a method"),
        ({"retry": {"backoff": {"factor": 0.5}}}, "greater than or equal to 1"),
        ({"retry": {"budget": {"ratio": 2}}}, "less than or equal to 1"),
        ({"cache": {"negative_ttl": {"200": "1s"}}}, "greater than or equal to 300"),
        ({"rules": [{"match": {"path": "x"}}]}, "should match pattern"),
        ({"rules": [{"auth": {"type": "none"}}]}, "Extra inputs"),
        ({"rate_limit": {}}, "Field required"),
    ],
)
def test_what_is_refused(said: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        upstream(**said)


def test_null_switches_off_what_may_be_off() -> None:
    off = upstream(circuit_breaker=None, concurrency=None, rate_limit=None, tls=None, retry={"budget": None})
    assert (off.circuit_breaker, off.concurrency, off.rate_limit, off.retry.budget) == (
        None,
        None,
        None,
        None,
    )
    on = UpstreamDefaults()
    assert on.circuit_breaker is not None
    assert on.concurrency is not None
    assert on.retry.budget is not None
    assert UpstreamTLS(ca="a").ca == "a"


def test_one_answer_to_one_key_is_for_those_who_ask_for_it() -> None:
    whole = upstream(rules=[{"match": {"method": "POST"}, "idempotency": {}}])
    assert whole.idempotency is None
    ruled = whole.ruled(whole.rules[0]).idempotency
    assert ruled is not None
    assert ruled.ttl == 24 * 3600
    over = upstream(idempotency={"ttl": "1h"}, rules=[{"match": {}, "idempotency": {"ttl": "1m"}}])
    assert (over.idempotency and over.idempotency.ttl) == 3600
    ruled = over.ruled(over.rules[0]).idempotency
    assert (ruled and ruled.ttl) == 60
