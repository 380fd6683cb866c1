"""Are upstreams' figures kept apart by whom they speak for, and bounded?"""

from __future__ import annotations

import pytest

from proxy.core.message import Headers, Request, Whole
from proxy.core.resilience.quota import PacePolicy
from proxy.gateway import quotas as module
from proxy.gateway.quotas import Quotas
from tests.core.caching.samples import SECRET, Named, request, route
from tests.gateway.stage import Hands

FULL = Headers.of(("RateLimit-Limit", "100"), ("RateLimit-Remaining", "4"), ("RateLimit-Reset", "4"))
SEARCH = FULL.plus(("X-RateLimit-Resource", "search"))


class Injecting(Named):
    replaced = frozenset({"authorization"})


@pytest.fixture
def quotas() -> Quotas:
    return Quotas(clock=Hands(), secret=SECRET)


def mine(word: str, target: str = "/a") -> Request:
    return request(("Authorization", word), target=target)


def test_callers_own_credentials_are_told_apart_and_not_shown(quotas: Quotas) -> None:
    one, two = quotas.scope(mine("canary-1"), route()), quotas.scope(mine("canary-2"), route())
    assert one != two
    assert one == quotas.scope(mine("canary-1", "/b"), route())
    assert quotas.scope(request(), route()) != one
    assert "canary" not in repr((one, two))


def test_where_one_is_injected_callers_are_not_told_apart(quotas: Quotas) -> None:
    on = route()
    object.__setattr__(on, "injector", Injecting("key"))
    assert quotas.scope(mine("1"), on) == quotas.scope(mine("2"), on)


def test_a_bucket_is_learned_by_the_first_segment(quotas: Quotas) -> None:
    before = quotas.scope(request(target="/search/code"), route())
    assert before.bucket == "default"
    spoken = quotas.learn(before, "/search/code", SEARCH, limited=False)
    assert spoken.bucket == "search"
    assert quotas.scope(request(target="/search/users?q=1"), route()) == spoken
    assert quotas.scope(request(target="/repos"), route()) == before


def test_an_answer_that_limits_ends_the_figures(quotas: Quotas) -> None:
    scope = quotas.scope(request(), route())
    quotas.learn(scope, "/a", FULL, limited=False)
    assert quotas.remaining() == {("api", "default"): 4.0}
    quotas.learn(scope, "/a", FULL, limited=True)
    assert quotas.remaining() == {}


def test_the_pace_of_one_is_not_anothers(quotas: Quotas) -> None:
    one, two = quotas.scope(mine("1"), route()), quotas.scope(mine("2"), route())
    quotas.learn(one, "/a", FULL, limited=False)
    assert [quotas.pace(PacePolicy(), one, batch=False) for _ in range(3)] == [0.0, 1.0, 2.0]
    assert quotas.pace(PacePolicy(), two, batch=False) == 0.0


def test_one_that_does_not_go_uses_nothing_up(quotas: Quotas) -> None:
    scope = quotas.scope(request(), route())
    quotas.learn(scope, "/a", FULL, limited=False)
    assert quotas.pace(PacePolicy(), scope, batch=True) == 0.0
    refused = [quotas.pace(PacePolicy(), scope, batch=True, within=0.5) for _ in range(20)]
    assert refused == [1.0] * 20
    assert quotas.remaining() == {("api", "default"): 4.0}


def test_a_call_that_has_ended_is_not_counted_twice(quotas: Quotas) -> None:
    scope = quotas.scope(request(), route())
    plenty = FULL.replacing("RateLimit-Remaining", "11")
    for _ in range(50):
        assert quotas.pace(PacePolicy(), scope, batch=False) == 0.0
        quotas.ended(scope)
        quotas.learn(scope, "/a", plenty, limited=False)
    assert quotas.remaining() == {("api", "default"): 11.0}


def test_tokens_are_not_counted_as_calls(quotas: Quotas) -> None:
    scope = quotas.scope(request(), route())
    said = Headers.of(("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "9s"))
    quotas.learn(scope, "/a", said, limited=False)
    assert quotas.pace(PacePolicy(), scope, batch=True) == 0.0
    assert quotas.remaining() == {("api", "tokens"): 0.0}


def test_the_least_of_all_credentials_is_shown(quotas: Quotas) -> None:
    for number in (9, 3, 7):
        scope = quotas.scope(mine(str(number)), route())
        quotas.learn(scope, "/a", Headers.of(("RateLimit-Remaining", str(number))), limited=False)
    assert quotas.remaining() == {("api", "default"): 3.0}


def test_what_is_remembered_of_callers_is_bounded(quotas: Quotas, monkeypatch) -> None:
    monkeypatch.setattr(module, "_MOST_REMEMBERED", 3)
    for number in range(10):
        scope = quotas.scope(mine(str(number)), route())
        quotas.learn(scope, f"/{number}/x", SEARCH, limited=False)
    assert len(quotas.learned) == len(quotas._buckets) == 3


def test_an_answer_without_figures_says_nothing(quotas: Quotas) -> None:
    scope = quotas.scope(Request(method="GET", target="/", headers=Headers(), body=Whole()), route())
    assert quotas.learn(scope, "/", Headers(), limited=True) is scope
    assert quotas.remaining() == {}
