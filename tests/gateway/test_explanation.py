import dataclasses
import json

import pytest

from proxy.core.caching.policy import CachePolicy, KeyPolicy, Scope
from proxy.core.failure import BadRequestError, CredentialError, NoRouteError
from proxy.core.message import Request, Whole
from proxy.core.reason import Reason
from proxy.core.resilience.retry import RetryPolicy
from proxy.core.routing import ErrorMode, Match, Origin, Route, Table
from proxy.gateway.explanation import explain
from tests.core.caching.samples import SECRET, Named, request, route
from tests.gateway.stage import Stage, fresh


async def told(asked: Request, *routes: Route):
    found = await explain(asked, Table(routes or (route(prefix="/api"),)), secret=SECRET)
    json.dumps(found)
    return found


async def test_the_route_and_why() -> None:
    plain = await told(request(target="/api/x?y=1"))
    assert plain["route"] == {"name": "api", "why": "/api is the longest prefix of its path", "rule": None}
    assert plain["upstream"] == {"url": "https://api.example/x?y=1", "others": []}
    assert (plain["method"], plain["path"]) == ("GET", "/api/x?y=1")
    second = Origin(scheme="http", host="b", port=80)
    hosted = dataclasses.replace(route(host="a"), origins=(*route().origins, second))
    found = await told(dataclasses.replace(request(), host="A:80"), hosted)
    assert found["route"]["why"] == "its Host is a, and its prefix is /"
    assert found["upstream"]["others"] == ["http://b"]


async def test_the_rule_and_what_it_changes() -> None:
    changed = route(CachePolicy(enabled=False), prefix="/api", errors=ErrorMode.ANNOTATE)
    rules = ((Match(method="GET"), route(prefix="/api")), (Match(path="/x/**"), changed))
    whole = route(prefix="/api", rules=rules)
    found = await told(request(method="PUT", target="/api/x/y"), whole)
    assert found["route"]["rule"] == {"number": 2, "match": "any method /x/**"}
    assert found["cache"]["reason"] == Reason.CACHE_OFF
    assert found["errors"] == {"mode": "annotate", "document": False, "asked": False}
    asked = request(("Accept", "application/problem+json"), target="/api/x/y", method="PUT")
    assert (await told(asked, whole))["errors"] == {"mode": "annotate", "document": True, "asked": True}
    assert (await told(request(target="/api/a"), whole))["route"]["rule"]["match"] == "GET any path"


@pytest.mark.parametrize(("target", "failure"), [("/other", NoRouteError), ("/api/../x", BadRequestError)])
async def test_what_no_route_takes(target: str, failure: type[Exception]) -> None:
    with pytest.raises(failure):
        await told(request(target=target))


class Lost(Named):
    replaced = frozenset({"authorization"})

    def identity(self) -> str:
        raise CredentialError("The variable is not set.")


async def test_a_credential_is_named_and_may_be_missing() -> None:
    lost = dataclasses.replace(route(), injector=Lost("bearer token from env X"))
    found = await told(request(("Authorization", "theirs")), lost)
    assert found["credential"] == {
        "name": "bearer token from env X",
        "replaces": ["authorization"],
        "problem": "The variable is not set.",
    }
    assert found["cache"]["reason"] == Reason.URI_MISS
    assert found["cache"]["key"]["credential"] == "bearer token from env X"
    assert "theirs" not in json.dumps(found)


async def test_headers_that_change() -> None:
    on = route(
        set_headers=(("Accept", "a/b"), ("Some-Name", "hunter2"), ("X-Version", "3")),
        remove_headers=frozenset({"cookie"}),
        forwarded=True,
    )
    asked = request(
        ("Cookie", "a"), ("Accept", "x"), ("X-Same", "y"), ("Connection", "x-hop"), ("X-Hop", "z")
    )
    headers = (await told(asked, on))["headers"]
    assert headers["removed"] == ["accept", "connection", "cookie", "x-hop"]
    assert {"Accept: a/b", "Some-Name: ***", "X-Version: 3", "Via: 1.1 leeward"} < set(headers["set"])
    assert "X-Forwarded-For: (the caller's address)" in headers["set"]
    assert "hunter2" not in json.dumps(headers)


async def test_the_key_and_its_parts() -> None:
    policy = CachePolicy(
        methods=frozenset({"GET", "POST"}),
        key=KeyPolicy(ignore_query=("utm",), headers=("accept",)),
        scope=Scope.SHARED,
        negative_ttl={404: 10.0},
    )
    asked = request(
        ("Accept", "x"), ("Authorization", "me"), ("Cookie", "c"), target="/a?utm=1&b=2", method="POST"
    )
    cache = (await told(dataclasses.replace(asked, body=Whole(b"{}")), route(policy)))["cache"]
    assert (cache["verdict"], cache["reason"], cache["status"]) == (
        "miss",
        "uri-miss",
        "leeward; fwd=uri-miss",
    )
    assert cache["sentence"] == Reason.URI_MISS.sentence
    assert cache["stored"] is None
    assert cache["key"] == {
        "route": "api",
        "upstream": ["https://api.example"],
        "credential": "none",
        "method": "POST",
        "target": "/a?b=2",
        "fields": ["accept", "cookie"],
        "body": "2 bytes",
    }
    assert cache["policy"]["negative_ttl"] == {"404": 10.0}
    assert cache["policy"]["scope"] == "shared"
    # What is read for the key is no secret's place.
    assert '"c"' not in json.dumps(cache)


@pytest.mark.parametrize(
    ("asked", "verdict", "reason"),
    [
        (request(), "miss", Reason.URI_MISS),
        (request(("Cache-Control", "no-cache")), "miss", Reason.REQUEST_NO_CACHE),
        (request(("Cache-Control", "no-store")), "bypass", Reason.REQUEST_NO_STORE),
        (request(("Cache-Control", "only-if-cached")), "miss", Reason.ONLY_IF_CACHED),
        (request(("Cache-Control", "only-if-cached"), method="PUT"), "miss", Reason.ONLY_IF_CACHED),
        (request(method="DELETE"), "bypass", Reason.METHOD),
        (request(body=Whole(b"x")), "bypass", Reason.REQUEST_BODY),
    ],
)
async def test_what_the_cache_would_do(asked: Request, verdict: str, reason: Reason) -> None:
    cache = (await told(asked, route()))["cache"]
    assert (cache["verdict"], cache["reason"]) == (verdict, reason)


async def test_with_a_store_it_says_what_is_stored() -> None:
    stage = Stage()
    stage.script.append(fresh(("Cache-Control", "stale-while-revalidate=60")))
    await stage.get(request())
    told_ = []
    for seconds in (0, 70, 120):
        stage.clock.time += seconds
        found = await explain(
            request(), Table([stage.route]), secret=SECRET, store=stage.store, now=stage.clock.now()
        )
        told_.append((found["cache"]["verdict"], found["cache"]["reason"], found["cache"]["stored"]))
    assert told_ == [("hit", "fresh", 1), ("stale", "stale-while-revalidate", 1), ("miss", "expired", 1)]
    assert len(stage.asked) == 1


@pytest.mark.parametrize(
    ("asked", "policy", "repeats", "key"),
    [
        (request(), RetryPolicy(), "what fails so", None),
        (request(method="POST"), RetryPolicy(), "only what surely was not processed", None),
        (request(method="POST"), RetryPolicy(idempotency_key="I-K"), "what fails so", "I-K"),
        (
            request(method="LOCK"),
            RetryPolicy(idempotency_key="I-K"),
            "only what surely was not processed",
            None,
        ),
        (request(("I-K", "1"), method="LOCK"), RetryPolicy(idempotency_key="I-K"), "what fails so", "I-K"),
    ],
)
async def test_the_retry_plan(asked: Request, policy: RetryPolicy, repeats: str, key: str | None) -> None:
    retry = (await told(asked, route(retry=policy)))["retry"]
    assert (retry["attempts"], retry["repeats"], retry["idempotency_key"]) == (3, repeats, key)
    assert retry["waits"] == [0.2, 0.4]
    assert retry["budget"] == {"ratio": 0.2, "min_per_second": 2.0}
    single = await told(asked, route(retry=RetryPolicy(attempts=1, budget=None)))
    assert (single["retry"]["waits"], single["retry"]["budget"]) == ([], None)


async def test_whether_a_repeated_request_is_sent_again() -> None:
    on, keyed = route(idempotency=60.0), ("Idempotency-Key", "1")
    assert (await told(request(method="POST"), route()))["idempotency"] is None
    for asked, found in ((request(keyed, method="POST"), True), (request(method="POST"), False)):
        assert (await told(asked, on))["idempotency"] == {"ttl": 60.0, "keyed": found}
    assert (await told(request(keyed), on))["idempotency"]["keyed"] is False


@pytest.mark.parametrize(
    ("asked", "length", "kept"),
    [
        (request(method="PUT"), 0, "memory"),
        (request(method="PUT", body=Whole(b"abc")), 3, "memory"),
        (request(("Content-Length", "3"), method="PUT"), 3, "memory"),
        (request(("Content-Length", "5"), method="PUT"), 5, "disk"),
        (request(("Content-Length", "9"), method="PUT"), 9, "no"),
        (request(("Content-Length", "9" * 5000), method="PUT"), 0, "memory"),
    ],
)
async def test_where_a_body_is_kept_to_be_sent_again(asked: Request, length: int, kept: str) -> None:
    policy = RetryPolicy(max_replay_body=4, max_spool_body=8)
    body = (await told(asked, route(retry=policy)))["retry"]["body"]
    assert body == {"length": length, "kept": kept, "max_memory": 4, "max_disk": 8}
