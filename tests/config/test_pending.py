from __future__ import annotations

from typing import Any

import pytest

from proxy.config.pending import _OF_UPSTREAMS, pending


def test_what_is_not_in_force_is_found_wherever_it_may_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    # The table is empty where all is in force; this row is made up.
    monkeypatch.setitem(_OF_UPSTREAMS, ("probe",), lambda value: value is not None)
    said: dict[str, Any] = {"probe": {}}
    key = ("probe",)
    assert list(pending({"upstreams": {"a": said}})) == [("upstreams", "a", *key)]
    assert list(pending({"upstreams": {}, "defaults": said})) == [("defaults", *key)]
    assert list(pending({"upstreams": {"a": {"rules": [{}, said]}}})) == [
        ("upstreams", "a", "rules", 1, *key)
    ]


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"base_url": "https://a"},
        {"base_url": ["https://a", "https://b"], "balance": "round_robin", "health_check": {"path": "/"}},
        {"retry": {"budget": {"ratio": 0.1}, "idempotency_key": "Idempotency-Key"}},
        {"circuit_breaker": {}, "rate_limit": {"requests": 1}, "concurrency": {"max": 1}, "pacing": {}},
        {"cache": {"stale_while_revalidate": "1s", "stale_if_error": "1s", "methods": ["get", "post"]}},
        {"cache": {"negative_ttl": {"404": "1s"}, "key": {"ignore_query": ["a"], "headers": ["b"]}}},
        {"cache": {"key": {"ignore_body_fields": ["a"]}, "store_set_cookie": True}},
        {"probe": {}, "errors": "native", "tls": {"ca": "a"}, "rules": None},
    ],
)
def test_what_is_in_force_or_off_is_not_warned_about(said: dict[str, Any]) -> None:
    assert (
        list(pending({"upstreams": {"a": said}, "tracing": {"otlp_endpoint": "http://a"}, "defaults": None}))
        == []
    )
